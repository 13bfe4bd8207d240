"""A lock between processes: a file that one process holds. The system lets go of it when that process ends.

What cannot be locked says in its name which process it belongs to: `name_process`.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import psutil

BIRTH_TOLERANCE = 2.0
"""`psutil` adds the boot time in whole seconds, which may be read on either side of a second."""


@contextlib.contextmanager
def hold_lock(path: Path, *, busy: Exception | None = None) -> Iterator[Callable[[], bool]]:
    """Hold the lock file, made with its folder where it is absent. While another process has it: raise `busy`, or wait
    without one.

    Gives a function that says whether the file is still there: who deletes it, or its folder, takes the lock with it.
    Its holder may do so when all is done; who waited for it then locks a new one.
    """
    with _take(path, busy) as lock:
        yield lambda: _is_at(lock, path)


def _take(path: Path, busy: Exception | None) -> IO[str]:
    """The open file that holds the lock."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as files:
            lock = files.enter_context(path.open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError as error:
                raise busy or error from None
            if _is_at(lock, path):
                files.pop_all()
                return lock


def _is_at(lock: IO[str], path: Path) -> bool:
    """Whether a path still names the open file."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file; without one nobody does."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # of another user: it may be held
        return True
    except FileNotFoundError:
        return False
    return False


def process_birth(pid: int) -> float | None:
    """When a process started, in seconds since boot; None when it is gone or a zombie.

    Since boot, because the time of day of a start moves when the clock is set and would make living jobs look dead.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time() - psutil.boot_time()
    except psutil.NoSuchProcess:
        return None


def is_running(pid: int, birth: float) -> bool:
    """Whether the process that began then still runs (not a later one with the same number)."""
    found = process_birth(pid)
    return found is not None and abs(found - birth) < BIRTH_TOLERANCE


def name_machine() -> str:
    """6 hex digits that tell machines, and containers with processes of their own, apart which share a disk."""
    space = Path("/proc/self/ns/pid")
    processes = space.stat().st_ino if space.exists() else 0
    return hashlib.sha256(f"{platform.node()} {processes}".encode()).hexdigest()[:6]


def name_process() -> str:
    """'machine-process-birth' of this process, for names of files."""
    return f"{name_machine()}-{os.getpid()}-{process_birth(os.getpid()) or 0:.0f}"
