"""Which task a command starts, without starting it."""

import pytest

from vccapp.cli import main
from vccapp.tasks.base import Task


class Started(BaseException):
    """Raised in place of a start: the command goes no further."""


def task_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Task:
    """The task that the real command line starts for these words; fails where it starts none."""
    tasks = []

    def start_job(settings: object, task: Task) -> None:
        tasks.append(task)
        raise Started

    assert words[0] == "vccapp"
    with monkeypatch.context() as patch, pytest.raises(Started):
        patch.setattr("vccapp.jobs.local.start_job", start_job)
        main(words[1:])
    [task] = tasks
    return task
