"""Task `package`: check and package the cells that a build has made already."""

from pydantic import Field

from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Task
from vccapp.tasks.build import Built


@TASKS.register("package")
class Package(Task[Built]):
    name = "package"
    Result = Built

    plan: str = Field(description="Id of the plan.")

    @property
    def title(self) -> str:
        return f"Package {self.plan}"

    def command(self) -> list[str]:
        return ["vccapp", "submit", "package", self.plan, *self.changed_options(on="--on")]

    def check(self, settings: Settings) -> None:
        from vccapp.submission.plan import load_plan

        load_plan(self.plan, settings)

    def run(self, settings: Settings, progress: Progress) -> Built:
        from vccapp.submission.build import package_submission
        from vccapp.submission.plan import load_plan

        plan = load_plan(self.plan, settings)
        return Built(submission=plan.id, report=package_submission(plan, settings, progress=progress))
