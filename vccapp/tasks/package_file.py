"""Task `package-file`: check a file of cells made anywhere, and package it where no check fails."""

from typing import Any

from pydantic import Field

from vccapp.commands import options
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Result, Task
from vccapp.tasks.check import Check


class PackagedFile(Result):
    """package : `Package`; checks : what was found (`CheckResult`)"""

    package: dict[str, Any]
    checks: list[dict[str, Any]]


@TASKS.register("package-file")
class PackageFile(Task[PackagedFile]):
    name = "package-file"
    Result = PackagedFile

    path: AbsolutePath = Field(description="The .h5ad.")
    output: AbsolutePath = Field(description="The package to write.")
    season: str = Field(description="Name of the season.")
    phase: str | None = Field(None, description="Phase of the season; found by its targets if not given.")
    genes: AbsolutePath | None = Field(None, description="The official gene list; the season's own if not given.")
    counts: AbsolutePath | None = Field(None, description="A pert_counts CSV; the season's own if not given.")
    practice: bool = Field(False, description="Allow other genes and targets than the season's.")

    @property
    def title(self) -> str:
        return f"Package {self.path.name}"

    def command(self) -> list[str]:
        words = ["vccapp", "submit", "package", str(self.path), "--output", str(self.output)]
        chosen = {"--season": self.season, "--phase": self.phase, "--genes": self.genes, "--counts": self.counts}
        chosen["--dataset"] = self.dataset or None
        return [*words, *options(chosen | {"--practice": self.practice})]

    def run(self, settings: Settings, progress: Progress) -> PackagedFile:
        from vccapp.seasons.opened import find_season
        from vccapp.submission.build import package_file

        checked = Check(**self.model_dump(exclude={"output"}))
        season, expected = find_season(self.season, settings), checked.expected(settings)
        checks, package = package_file(self.path, self.output, season, progress=progress, **expected)
        return PackagedFile(
            package=package.model_dump(mode="json"), checks=[check.model_dump(mode="json") for check in checks]
        )
