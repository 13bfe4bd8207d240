"""Task `score-file`: score a file of a submission against real cells."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from vccapp.commands import options
from vccapp.errors import SpecError
from vccapp.progress import Progress, part
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Result, Task

if TYPE_CHECKING:
    from vccapp.data.reading.dataset import Dataset


class ScoredFile(Result):
    """id : of the local score; folder : where it is kept; means : over contexts"""

    id: str
    folder: str
    means: dict[str, float | None]


@TASKS.register("score-file")
class ScoreFile(Task[ScoredFile]):
    """dataset : the real cells, where they are no file"""

    name = "score-file"
    Result = ScoredFile

    path: AbsolutePath = Field(description="The .h5ad or .vcc.")
    real: AbsolutePath | None = Field(None, description="Real cells, .h5ad; else those of the dataset.")
    context_column: str | None = Field(None, description="The obs column of contexts of the real cells.")
    season: str = Field(description="Name of the season.")
    phase: str | None = Field(None, description="Phase whose targets are counted.")
    scorer: str = Field("vccapp", description="Name of the scorer.")

    @property
    def title(self) -> str:
        return f"Score {self.path.name} by {self.scorer}"

    def command(self) -> list[str]:
        chosen = {
            "--real": self.real,
            "--dataset": self.dataset or None,
            "--context-column": self.context_column,
            "--season": self.season,
            "--phase": self.phase,
            "--scorer": self.scorer,
        }
        return ["vccapp", "submit", "score", str(self.path), *options(chosen), *self.changed_options(on="--on")]

    def check(self, settings: Settings) -> None:
        from vccapp.evaluation.scorers.base import find_scorer
        from vccapp.seasons.opened import find_season

        if (self.real is None) == (not self.dataset):
            raise SpecError("no_real_cells", "Real cells are a file or a dataset", fix="give --real or --dataset")
        find_scorer(self.scorer)
        season = find_season(self.season, settings)
        if self.phase is not None:
            season.phase(self.phase)

    def run(self, settings: Settings, progress: Progress) -> ScoredFile:
        from vccapp.seasons.opened import find_season
        from vccapp.submission.scored import score_submission

        self.check(settings)
        progress(0.0, "Opening the real cells")
        score = score_submission(
            self.path,
            self._open(settings, self.real),
            season=find_season(self.season, settings),
            settings=settings,
            phase=self.phase,
            scorer=self.scorer,
            progress=part(progress, 0.02, 1.0),
        )
        return ScoredFile(id=score.id, folder=str(score.folder), means=score.means)

    def _open(self, settings: Settings, real: Path | None) -> "Dataset":
        from vccapp.data.reading.opening import open_dataset
        from vccapp.data.schema import Columns
        from vccapp.data.stores.access import Access
        from vccapp.data.workspace import open_registered

        if real is None:
            return open_registered(self.dataset, settings)
        return open_dataset(real, columns=Columns(context=self.context_column), access=Access.of(settings))
