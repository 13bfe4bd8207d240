"""Task `package-file`: check a file of cells made anywhere, and package it where no check fails."""

from typing import Any

from pydantic import Field

from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Result
from vccapp.tasks.check import FileTask


class PackagedFile(Result):
    """package : `Package`; checks : what was found (`CheckResult`)"""

    package: dict[str, Any]
    checks: list[dict[str, Any]]


@TASKS.register("package-file")
class PackageFile(FileTask[PackagedFile]):
    name = "package-file"
    Result = PackagedFile

    output: AbsolutePath = Field(description="The package to write.")

    @property
    def title(self) -> str:
        return f"Package {self.path.name}"

    def command(self) -> list[str]:
        return ["vccapp", "submit", "package", str(self.path), "--output", str(self.output), *self.options()]

    def run(self, settings: Settings, progress: Progress) -> PackagedFile:
        from vccapp.seasons.opened import find_season
        from vccapp.submission.build import package_file

        season, expected = find_season(self.season, settings), self.expected(settings)
        checks, package = package_file(self.path, self.output, season, progress=progress, **expected)
        return PackagedFile(
            package=package.model_dump(mode="json"), checks=[check.model_dump(mode="json") for check in checks]
        )
