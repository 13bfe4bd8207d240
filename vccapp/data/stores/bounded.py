"""Work on files of others within a limit of memory: in this process, or in a child of a small process beside it.

    with memory_bounded(4 * 10**9): ...                               # a command, which has the process to itself
    run_bounded(open_and_look, path, memory_bytes=4 * 10**9)          # a server, which others use too

A child ends by memory or time without harm to the server. It is forked from a process that has the libraries loaded
(vccapp.data.stores.opener), so that it costs some hundredths of a second.
"""

import atexit
import contextlib
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from vccapp.errors import ResourceError
from vccapp.wording import bytes_text

T = TypeVar("T")

TIMEOUT_S = 120.0
"""What opening a file may take: 2 million cells take 12 s."""
STATUS = Path("/proc/self/status")


@contextlib.contextmanager
def memory_bounded(memory_bytes: int) -> Iterator[None]:
    """Let this process take at most so much more memory; beyond that Python raises MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + memory_bytes
    if not STATUS.exists() or (soft != resource.RLIM_INFINITY and soft <= limit):
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    if not STATUS.exists():
        return 0
    lines = STATUS.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)


def run_bounded(function: Callable[..., T], *args: Any, memory_bytes: int, timeout_s: float = TIMEOUT_S) -> T:
    """What `function` of a module gives, called in a child. Raises what it raises, or ResourceError where it took too
    much memory or time. Function, arguments and result are pickled.
    """
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(_opener())
        wire.settimeout(timeout_s)
        with wire.makefile("rwb") as file:
            pickle.dump((function.__module__, function.__qualname__, args, memory_bytes), file)
            file.flush()
            child = 0
            try:
                child = pickle.load(file)
                ok, value = pickle.load(file)
            except TimeoutError:
                if child:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                raise ResourceError(
                    "too_slow", f"Opening it took more than {timeout_s:.0f} s", fix="try it with vccapp data describe"
                ) from None
            except (EOFError, ConnectionError, pickle.UnpicklingError):
                raise ResourceError(
                    "memory",
                    f"Opening it takes more than the {bytes_text(memory_bytes)} of memory that are allowed",
                    fix="raise VCCAPP_MEMORY_GB",
                ) from None
    if ok:
        return value
    raise value


_LOCK = threading.Lock()
_running: "tuple[subprocess.Popen[bytes], str] | None" = None


def start_opener() -> None:
    """Start the process beside this one, so that the first file need not wait for it."""
    _opener()


def _opener() -> str:
    """The address of the process beside this one, which is started where there is none."""
    global _running
    with _LOCK:
        if _running is None or _running[0].poll() is not None:
            folder = tempfile.mkdtemp(prefix="vccapp-")
            address = f"{folder}/opener"
            root = str(Path(__file__).parents[3])
            env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            env["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
            process = subprocess.Popen(
                [sys.executable, "-m", "vccapp.data.stores.opener", address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=env,
                start_new_session=True,
            )
            atexit.register(_stop, process, folder)
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise ResourceError("opener", "The process that opens files did not start", fix="see the log")
            _running = (process, address)
        return _running[1]


def _stop(process: "subprocess.Popen[bytes]", folder: str) -> None:
    import shutil

    process.kill()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
