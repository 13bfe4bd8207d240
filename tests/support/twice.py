"""Two processes that begin one and the same task at the same moment."""

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from types import TracebackType
from typing import Any, Self

from vccapp.faults import describe
from vccapp.progress import silent
from vccapp.settings import Settings
from vccapp.tasks.base import Task, read_task

_together: Barrier


def _prepare(together: Barrier) -> None:
    global _together
    _together = together
    import torch

    torch.set_num_threads(1)


def _run(name: str, params: Mapping[str, Any], settings: Settings) -> str:
    """The code of what it was refused or failed with; empty where it ended well."""
    task = read_task(name, params)
    _together.wait()
    try:
        task.run(settings, silent)
    except Exception as error:
        return describe(error)[0]
    return ""


class Two:
    """The processes, for one task after the other."""

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("forkserver")
        self._pool = ProcessPoolExecutor(2, mp_context=context, initializer=_prepare, initargs=(context.Barrier(2),))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown()

    def run(self, task: Task[Any], settings: Settings) -> list[str]:
        """The codes of both."""
        asked = task.name, task.model_dump(mode="json"), settings
        return sorted(end.result() for end in [self._pool.submit(_run, *asked) for _ in range(2)])
