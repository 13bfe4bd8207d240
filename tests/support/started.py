"""Which task a command starts, without starting it."""

import pytest

from vccapp.cli import main
from vccapp.tasks.base import Task
from vccapp.tasks.check import Check
from vccapp.tasks.mend import Mend
from vccapp.tasks.official import Official
from vccapp.tasks.open_season import OpenSeason
from vccapp.tasks.package_file import PackageFile


class Started(BaseException):
    """Raised in place of a start: the command goes no further."""


def task_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Task:
    """The task that the real command line starts for these words; fails where it starts none."""
    tasks = []

    def start_job(settings: object, task: Task, **_: object) -> None:
        tasks.append(task)
        raise Started

    def run(task: Task, *_: object) -> None:
        start_job(None, task)

    assert words[0] == "vccapp"
    with monkeypatch.context() as patch, pytest.raises(Started):
        patch.setattr("vccapp.jobs.local.start_job", start_job)
        for kind in (Check, Mend, Official, OpenSeason, PackageFile):  # commands do these without a job
            patch.setattr(kind, "run", run)
        main(words[1:])
    [task] = tasks
    return task
