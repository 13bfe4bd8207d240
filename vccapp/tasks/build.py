"""Task `build`: generate, check and package a submission from its plan."""

from typing import Any

from pydantic import Field

from vccapp.errors import VccAppError
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Needs, Result, Task


class Built(Result):
    """submission : its id; report : what the build says about itself"""

    submission: str
    report: dict[str, Any]


@TASKS.register("build")
class Build(Task[Built]):
    name = "build"
    Result = Built

    plan: str = Field(description="Id of the plan.")

    @property
    def title(self) -> str:
        return f"Build {self.plan}"

    def command(self) -> list[str]:
        return ["vccapp", "submit", "build", self.plan, *self.changed_options(on="--on")]

    def check(self, settings: Settings) -> None:
        from vccapp.data.workspace import require_source
        from vccapp.submission.plan import load_plan

        for dataset in load_plan(self.plan, settings).datasets:
            require_source(dataset, settings)

    def needs(self, settings: Settings) -> Needs:
        from vccapp.submission.plan import load_plan

        try:
            memory_bytes = load_plan(self.plan, settings).estimate.memory_bytes
        except VccAppError:
            return super().needs(settings)
        return Needs(memory_bytes=memory_bytes)

    def run(self, settings: Settings, progress: Progress) -> Built:
        from vccapp.submission.build import build_submission
        from vccapp.submission.plan import load_plan

        plan = load_plan(self.plan, settings)
        return Built(submission=plan.id, report=build_submission(plan, settings, progress=progress))
