"""Task `open-season`: open the organisers' files of a phase, or a season that a user wrote, once."""

from pydantic import Field

from vccapp.commands import options
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Result, Task


class OpenedSeason(Result):
    """season : its name; phase : of the files; empty for a season of a user; notes : on what was read"""

    season: str
    phase: str = ""
    notes: tuple[str, ...] = ()


@TASKS.register("open-season")
class OpenSeason(Task[OpenedSeason]):
    name = "open-season"
    Result = OpenedSeason

    path: AbsolutePath = Field(description="The organisers' folder or zip of controls, or a season's TOML.")
    phase: str | None = Field(None, description="The phase that the files must be of.")
    replace: bool = Field(False, description="Replace a season of the same name.")

    @property
    def title(self) -> str:
        return f"Open {self.path.name}"

    def command(self) -> list[str]:
        return [
            "vccapp",
            "season",
            "open",
            str(self.path),
            *options({"--phase": self.phase, "--replace": self.replace}),
        ]

    def run(self, settings: Settings, progress: Progress) -> OpenedSeason:
        from vccapp.data.stores.access import Access
        from vccapp.data.stores.bounded import memory_bounded
        from vccapp.seasons.opened import open_bundle, open_season

        if self.path.suffix.lower() == ".toml":
            return OpenedSeason(season=open_season(self.path, settings, replace=self.replace).name)
        with memory_bounded(Access.of(settings).memory_bytes):
            bundle = open_bundle(self.path, settings, phase=self.phase, progress=progress)
        return OpenedSeason(season=bundle.season, phase=bundle.phase, notes=bundle.notes)
