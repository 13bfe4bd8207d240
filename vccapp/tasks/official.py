"""Task `official`: ask the season's official packager about a file, beside our own checks."""

from pydantic import Field

from vccapp.commands import options
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Result, Task


class Judged(Result):
    """tool : name and version; said : its own words, in one line"""

    path: str
    tool: str
    accepted: bool
    said: str


@TASKS.register("official")
class Official(Task[Judged]):
    name = "official"
    Result = Judged

    path: AbsolutePath = Field(description="The .h5ad or .vcc.")
    season: str = Field(description="Name of the season.")
    phase: str | None = Field(None, description="Phase of the season; its last one if not given.")
    genes: AbsolutePath | None = Field(None, description="The official gene list; the season's own if not given.")

    @property
    def title(self) -> str:
        return f"Ask the official packager about {self.path.name}"

    def command(self) -> list[str]:
        chosen = {"--season": self.season, "--phase": self.phase, "--genes": self.genes}
        return ["vccapp", "submit", "official", str(self.path), *options(chosen)]

    def check(self, settings: Settings) -> None:
        from vccapp.seasons.opened import find_season
        from vccapp.submission.packing.official import official_tool

        official_tool(find_season(self.season, settings))

    def run(self, settings: Settings, progress: Progress) -> Judged:
        from vccapp.seasons.gene_list import read_gene_list
        from vccapp.seasons.opened import find_season
        from vccapp.submission.packing.official import ask_official

        verdict = ask_official(
            self.path,
            find_season(self.season, settings),
            phase=self.phase,
            genes=None if self.genes is None else read_gene_list(self.genes).genes,
            memory_bytes=settings.memory_bytes,
            progress=progress,
        )
        return Judged(path=str(self.path), **verdict.model_dump())
