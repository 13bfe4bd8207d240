"""Where the parts of an index are worked on: in this process, or on the machines of a cluster.

    for sums in executor.map(partial(add_cells, dataset), ranges, progress=progress): ...

A function takes one task (a range of cells or of genes) and a `Progress` for that task alone, and returns what it
made of it. Results come in the order of the tasks, so what is made of them does not depend on which machine was first.
`vccapp.stats.building.ray_executor` is the one for a Ray cluster; see docs/cluster.md.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np

from vccapp.progress import Progress, part, silent

Task = TypeVar("Task")
Result = TypeVar("Result")
Kind = Literal["local", "ray"]


class Executor(Protocol):
    """slots : how many tasks run at once; work is best cut into as many, or a small multiple."""

    slots: int

    def map(
        self, function: Callable[[Task, Progress], Result], tasks: Sequence[Task], *, progress: Progress = silent
    ) -> Iterator[Result]:
        """function(task, progress) of every task, in order. What `progress` raises ends the work on all of them."""
        ...


class LocalExecutor:
    """One task after the other in this process; the kernels use its threads."""

    slots = 1

    def map(
        self, function: Callable[[Task, Progress], Result], tasks: Sequence[Task], *, progress: Progress = silent
    ) -> Iterator[Result]:
        for number, task in enumerate(tasks):
            yield function(task, part(progress, number / len(tasks), (number + 1) / len(tasks)))


LOCAL = LocalExecutor()


def cut_evenly(n: int, *, parts: int, unit: int = 1) -> list[tuple[int, int]]:
    """0 .. n as at most `parts` ranges (first, last + 1) of about equal size that begin at multiples of `unit`."""
    units = -(-n // unit)
    edges = np.linspace(0, units, min(parts, units) + 1).astype(int) * unit
    return [(int(first), min(int(last), n)) for first, last in zip(edges[:-1], edges[1:], strict=True)]
