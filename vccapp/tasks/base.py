"""The interface of every task, and the registry that finds them.

A task is made of what a person chooses; its JSON is what the job store keeps. Heavy imports stand inside the methods:
importing all tasks is cheap. To add one, write `vccapp/tasks/<name>.py` with a registered subclass.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vccapp.commands import options
from vccapp.data.resources import count_threads
from vccapp.data.stores.places import resolved
from vccapp.errors import JobError, explain
from vccapp.progress import Progress
from vccapp.registry import Registry
from vccapp.settings import Place, Settings
from vccapp.wording import bytes_text

TASKS = Registry[type["Task[Any]"]]("task", package="vccapp.tasks")

AbsolutePath = Annotated[Path, AfterValidator(resolved)]
"""A path as it is meant where the task is made: the worker runs in another folder."""


class Needs(BaseModel):
    """What a task takes: memory at its peak, processors, and GPUs where there are some.

    threads : 1 for what takes little of the machine; 0 for what only follows other work
    """

    model_config = ConfigDict(frozen=True)

    memory_bytes: int
    threads: int = Field(default_factory=count_threads)
    gpus: int = 0

    def describe(self) -> str:
        """For people."""
        gpu = f", {self.gpus} GPU{'s' * (self.gpus > 1)} where there are some" if self.gpus else ""
        return (
            f"at most {bytes_text(self.memory_bytes)} of memory, {self.threads} thread{'s' * (self.threads != 1)}{gpu}"
        )


class Result(BaseModel):
    """What a task says when it is done: JSON in the job store."""

    model_config = ConfigDict(frozen=True, extra="forbid")


R = TypeVar("R", bound=Result)


class Task(BaseModel, ABC, Generic[R]):
    """One piece of work. Two tasks with equal fields do the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    Result: ClassVar[type[Result]]
    light: ClassVar[bool] = False
    """Whether it takes so little that it may run beside a job that has all processors."""

    dataset: str = Field("", description="Fingerprint of the dataset; empty if not known in advance.")
    on: Place = Field("here", description="Where it works: here (this machine) or ray (the cluster of the settings).")

    @property
    @abstractmethod
    def title(self) -> str:
        """What people read in a list of jobs."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command that starts this task, word by word; what is the default is left out."""

    @abstractmethod
    def run(self, settings: Settings, progress: Progress) -> R:
        """Do it. Raises VccAppError for what it refuses, Stopped where `progress` does."""

    def check(self, settings: Settings) -> None:  # noqa: B027 - optional
        """Raise what `run` would refuse, as far as that is known at once; writes nothing."""

    def needs(self, settings: Settings) -> Needs:
        """What it takes, as far as that is known at once. Here: all that the settings allow."""
        return Needs(memory_bytes=settings.memory_bytes, threads=1 if self.light else count_threads())

    @property
    def works_on(self) -> Place:
        """Where its own work is done; what only starts other jobs works here, wherever they do."""
        return self.on

    def named(self, now: datetime) -> Self:
        """The task with the names that are generated when it is started; itself where there are none."""
        return self

    def read_result(self, stored: Mapping[str, Any]) -> R:
        """The result of this task as the job store keeps it."""
        return self.Result.model_validate(stored)  # type: ignore[return-value]  # no class variable of R

    def changed_options(self, **names: str) -> list[str]:
        """The options of those fields that differ from their defaults; names : of the option of each field."""
        fields = type(self).model_fields
        values = {option: getattr(self, field) for field, option in names.items()}
        defaults = {option: fields[field].get_default(call_default_factory=True) for field, option in names.items()}
        return options({option: value for option, value in values.items() if value != defaults[option]})


Tasks = Registry[type[Task[Any]]] | Mapping[str, type[Task[Any]]]


def read_task(name: str, params: Mapping[str, Any], *, tasks: Tasks = TASKS) -> Task:
    """The task that the job store keeps. Raises SpecError for an unknown name, JobError for other versions' params."""
    kind = tasks[name]
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        problem = f"This job was written by another version of the app ({name}: {explain(error)})"
        raise JobError("task_unreadable", problem, fix="start it again") from None


def check_task(task: Task[Any], settings: Settings) -> None:
    """`Task.check`, for another process."""
    task.check(settings)
