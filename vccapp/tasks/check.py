"""Task `check`: check a file of cells made anywhere by the rules of a season."""

from pathlib import Path
from typing import Any, Generic

from pydantic import Field

from vccapp.commands import options
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, R, Result, Task


class Checked(Result):
    """path : of the file; checks : what was found (`CheckResult`)"""

    path: str
    checks: list[dict[str, Any]]


class FileTask(Task[R], Generic[R]):
    """A task on a file of cells made anywhere, and what its checks hold it against. dataset : the training data"""

    path: AbsolutePath = Field(description="The .h5ad or .vcc.")
    season: str = Field(description="Name of the season.")
    phase: str | None = Field(None, description="Phase of the season; found by its targets if not given.")
    genes: AbsolutePath | None = Field(None, description="The official gene list; the season's own if not given.")
    counts: AbsolutePath | None = Field(None, description="A pert_counts CSV; the season's own if not given.")
    practice: bool = Field(False, description="Allow other genes and targets than the season's.")

    def options(self) -> list[str]:
        """The options of these fields, word by word."""
        chosen = {"--season": self.season, "--phase": self.phase, "--genes": self.genes, "--counts": self.counts}
        return options(chosen | {"--dataset": self.dataset or None, "--practice": self.practice})

    def expected(self, settings: Settings) -> dict[str, Any]:
        """What the checks hold the file against (`check.Expected`)."""
        from vccapp.seasons.opened import find_season
        from vccapp.submission.checking.profiles import control_profiles

        expected = expected_of(self.genes, self.counts) | {"phase": self.phase, "practice": self.practice}
        expected["profiles"] = control_profiles(find_season(self.season, settings), settings)
        if self.dataset:
            from vccapp.evaluation.training_data import TrainingData
            from vccapp.stats.index import load_index

            expected["data"] = TrainingData.of(load_index(settings.index_of(self.dataset)))
        return expected


@TASKS.register("check")
class Check(FileTask[Checked]):
    name = "check"
    Result = Checked
    light = True

    @property
    def title(self) -> str:
        return f"Check {self.path.name}"

    def command(self) -> list[str]:
        return ["vccapp", "submit", "check", str(self.path), *self.options()]

    def run(self, settings: Settings, progress: Progress) -> Checked:
        from vccapp.seasons.opened import find_season
        from vccapp.submission.build import check_submission

        season, expected = find_season(self.season, settings), self.expected(settings)
        results = check_submission(self.path, season, progress=progress, **expected)
        return Checked(path=str(self.path), checks=[result.model_dump(mode="json") for result in results])


def expected_of(genes: Path | None, counts: Path | None) -> dict[str, Any]:
    """What checks take of a gene list and a table of cells."""
    from vccapp.seasons.gene_list import read_gene_list
    from vccapp.submission.budget import advised_depth, read_pert_counts

    table = None if counts is None else read_pert_counts(counts)
    return {
        "genes": None if genes is None else read_gene_list(genes).genes,
        "wanted": None if table is None else dict(zip(table["target_gene"], table["n_cells"], strict=True)),
        "depth": None if table is None else advised_depth(table),
    }
