"""Task `reproduce`: make a submission again from its record and compare it."""

from typing import Any

from pydantic import Field

from vccapp.errors import VccAppError
from vccapp.progress import Progress
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, AbsolutePath, Needs, Result, Task


class Again(Result):
    """same : whether every byte is; told : the same in a sentence; found : what `Reproduced` says"""

    submission: str
    same: bool
    told: str
    found: dict[str, Any]


@TASKS.register("reproduce")
class Reproduce(Task[Again]):
    name = "reproduce"
    Result = Again

    submission: str = Field(description="Id of the submission.")
    output: AbsolutePath | None = Field(None, description="Where its package is kept.")

    @property
    def title(self) -> str:
        return f"Reproduce {self.submission}"

    def command(self) -> list[str]:
        return ["vccapp", "submit", "reproduce", self.submission, *self.changed_options(output="--output", on="--on")]

    def check(self, settings: Settings) -> None:
        from vccapp.submission.ledger.listing import find_submission
        from vccapp.submission.ledger.reproduce import require_reproducible

        require_reproducible(find_submission(self.submission, settings), settings)

    def needs(self, settings: Settings) -> Needs:
        from vccapp.submission.ledger.listing import find_submission

        try:
            plan = find_submission(self.submission, settings).plan
        except VccAppError:
            plan = None
        return super().needs(settings) if plan is None else Needs(memory_bytes=plan.estimate.memory_bytes)

    def run(self, settings: Settings, progress: Progress) -> Again:
        from vccapp.submission.ledger.reproduce import reproduce

        found = reproduce(self.submission, settings, output=self.output, progress=progress)
        return Again(submission=found.id, same=found.same, told=found.told, found=found.model_dump(mode="json"))
