"""Where the tasks of an index run: in this process, or on the machines of a Ray cluster."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from vccapp.errors import SpecError
from vccapp.stats.building.executor import LOCAL, Executor, Kind


def open_executor(
    kind: Kind, *, address: str, paths: Sequence[Path], memory_bytes: int
) -> AbstractContextManager[Executor]:
    """The executor of this kind, for a `with` block; the other arguments are a cluster's, see `RayExecutor`.

    Raises SpecError for an unknown kind or where Ray is not installed, JobError when the cluster is not to be had.
    """
    if kind == "local":
        return nullcontext(LOCAL)
    if kind != "ray":
        raise SpecError(
            "unknown_executor",
            f"There is no executor '{kind}'",
            fix="choose local or ray",
        )
    try:
        from vccapp.stats.building.ray_executor import RayExecutor
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise SpecError(
            "ray_missing",
            "The executor ray needs Ray, which is not installed",
            fix="run `pip install 'vccapp[ray]'`",
        ) from None
    return RayExecutor(address, paths=paths, memory_bytes=memory_bytes)
