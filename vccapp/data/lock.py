"""A lock between processes: a file that one process holds. The system lets go of it when that process ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def hold_lock(path: Path, *, busy: Exception | None = None) -> Iterator[None]:
    """Hold the lock file, made where it is absent. While another process has it: raise `busy`, or wait without one."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise busy or error from None
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file; without one nobody does."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
