"""Task `plan`: plan a submission of a run that is trained by then, between its training and a build in a chain."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Needs, Result, Task

if TYPE_CHECKING:
    from vccapp.submission.planning.choice import PlanChoice


class Planned(Result):
    """plan : its id"""

    plan: str


@TASKS.register("plan")
class MakePlan(Task[Planned]):
    name = "plan"
    Result = Planned
    light = True

    choice: dict[str, Any] = Field(description="Fields of a `PlanChoice`, its name among them.")

    @property
    def chosen(self) -> "PlanChoice":
        from vccapp.submission.planning.choice import PlanChoice

        return PlanChoice.model_validate(self.choice)

    @property
    def title(self) -> str:
        return f"Plan {self.choice['name']}"

    def command(self) -> list[str]:
        return self.chosen.command()

    def needs(self, settings: Settings) -> Needs:
        return Needs(memory_bytes=min(settings.memory_bytes, 1_000_000_000), threads=1)

    def run(self, settings: Settings, progress: Progress) -> Planned:
        from vccapp.submission.plan import write_plan

        plan = self.chosen.make(settings)
        write_plan(plan, settings)
        return Planned(plan=plan.id)
