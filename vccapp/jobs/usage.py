"""What the processes of a job take of the machine, over time: one line of JSON a sample, beside its log."""

import contextlib
import json
import math
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from vccapp.wording import bytes_text

if TYPE_CHECKING:
    import pandas as pd

USAGE = "usage.jsonl"
GPU_SECONDS = 3.0
"""For which the driver may take to tell of the GPUs: a sign of life waits for it."""
COLUMNS = ("time", "cpu_percent", "memory_bytes", "gpu_percent", "gpu_bytes")


class Usage:
    """Samples this process and those below it, and the GPUs of the job.

    gpus : as CUDA_VISIBLE_DEVICES names them
    elsewhere : on a machine that is not that of the job, whose count of processes killed means nothing there
    """

    def __init__(self, folder: Path, *, gpus: Sequence[str] = (), elsewhere: bool = False) -> None:
        self.path = folder / USAGE
        self._gpus = gpus
        self._elsewhere = elsewhere
        self._process = psutil.Process()
        self._before = (time.monotonic(), self._cpu_seconds([self._process]))
        self._killed = oom_kills()

    def sample(self) -> None:
        """Append one line, as far as the disk takes it.

        cpu_percent : of one processor, since the sample before; oom_kills : of the system, since the first
        gpu_percent, gpu_bytes : see `sample_gpus`
        """
        with contextlib.suppress(psutil.Error, OSError):
            processes = [self._process, *self._process.children(recursive=True)]
            now, used = time.monotonic(), self._cpu_seconds(processes)
            seconds, before = now - self._before[0], self._before[1]
            self._before = (now, used)
            line: dict[str, Any] = {
                "time": round(time.time(), 1),
                "cpu_percent": round(100 * max(used - before, 0.0) / max(seconds, 1e-3), 1),
                "memory_bytes": sum(_resident(process) for process in processes),
                **sample_gpus(self._gpus),
            }
            if not self._elsewhere:
                line |= {"oom_kills": oom_kills() - self._killed, "oom_kills_before": self._killed}
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def _cpu_seconds(self, processes: list[psutil.Process]) -> float:
        total = 0.0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def sample_gpus(gpus: Sequence[str]) -> dict[str, float]:
    """gpu_percent: how busy these GPUs are, on average; gpu_bytes: what all processes hold of their memory together.

    Nothing where there are none, or the driver's `nvidia-smi` cannot tell.
    """
    program = shutil.which("nvidia-smi") if gpus else None
    if program is None:
        return {}
    words = [program, "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        told = subprocess.run(
            [*words, f"--id={','.join(gpus)}"], capture_output=True, text=True, timeout=GPU_SECONDS, check=True
        )
        rows = [[float(value) for value in line.split(",")] for line in told.stdout.splitlines()]
        busy, held = zip(*rows, strict=True)
        return {"gpu_percent": sum(busy) / len(busy), "gpu_bytes": sum(held) * 2**20}
    return {}


def oom_kills() -> int:
    """Processes that the system has ended for want of memory: in our group of processes, or else since its boot."""
    for path in _counters():
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def read_usage(path: Path) -> "pd.DataFrame":
    """time (seconds since 1970), cpu_percent (of one processor), memory_bytes, gpu_percent, gpu_bytes, where known."""
    import pandas as pd

    return pd.DataFrame(list(_lines(path)), columns=list(COLUMNS))


def tell_end(folder: Path) -> str:
    """What a job held at its last sample, where the system has since ended a process for want of memory; or nothing."""
    last = None
    for line in _lines(folder / USAGE):
        last = line
    if last is None or oom_kills() <= last.get("oom_kills_before", math.inf):
        return ""
    return f"it held {bytes_text(last['memory_bytes'])} when it was last seen"


def _counters() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                yield Path("/sys/fs/cgroup") / line[3:].lstrip("/") / "memory.events"
    yield Path("/proc/vmstat")


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Those that are whole."""
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found
