"""Task `mend`: write a prediction anew with what its checks ask for put right, where that is safe."""

from typing import Any

from pydantic import Field

from vccapp.commands import options
from vccapp.data.stores.places import resolved
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Result
from vccapp.tasks.check import FileTask


class MendedFile(Result):
    """path, checks : of the new file; steps, refused : what was done, and what was not safe (`Step`)"""

    path: str
    steps: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    checks: list[dict[str, Any]]


@TASKS.register("mend")
class Mend(FileTask[MendedFile]):
    """dataset : whose control cells are added or stand in for missing genes; none where it is empty"""

    name = "mend"
    Result = MendedFile
    light = True

    output: AbsolutePath = Field(description="The .h5ad to write.")
    only: tuple[str, ...] = Field((), description="Mends to do; every safe one that is asked for if none is given.")
    seed: int = Field(0, ge=0, description="Random seed for drawing cells.")

    @property
    def title(self) -> str:
        return f"Mend {self.path.name}"

    def command(self) -> list[str]:
        words = ["vccapp", "submit", "mend", str(self.path), str(self.output), *self.options()]
        words += options({"--seed": self.seed or None})
        return [*words, *(word for name in self.only for word in ("--only", name))]

    def check(self, settings: Settings) -> None:
        from vccapp.data.atomic import require_new
        from vccapp.seasons.opened import find_season
        from vccapp.submission.mending.mend import MENDS

        find_season(self.season, settings).phase(self.phase)
        for name in self.only:
            MENDS[name]
        require_new(resolved(self.output), suffix=".h5ad", what="Mended predictions")

    def run(self, settings: Settings, progress: Progress) -> MendedFile:
        from vccapp.seasons.opened import find_season
        from vccapp.submission.mending.draft import Donor
        from vccapp.submission.mending.mend import mend

        season = find_season(self.season, settings)
        expected = self.expected(settings)
        donor = None
        if self.dataset:
            from vccapp.data.workspace import open_registered
            from vccapp.stats.index import load_index

            donor = Donor(open_registered(self.dataset, settings), load_index(settings.index_of(self.dataset)))
        mended = mend(
            self.path,
            self.output,
            season,
            names=self.only or None,
            donor=donor,
            seed=self.seed,
            progress=progress,
            **expected,
        )
        fields = mended.model_dump(mode="json")
        return MendedFile(
            path=fields["path"], steps=fields["steps"], refused=fields["refused"], checks=fields["results"]
        )
