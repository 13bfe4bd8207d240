"""What a job takes of memory and disk, and the refusal of what does not fit, before work starts."""

import os
import shutil
from pathlib import Path

from vccapp.errors import ResourceError
from vccapp.machine import machine_memory as machine_memory
from vccapp.wording import bytes_text

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""From which the libraries of a new process read how many threads they may have."""
PROGRAM_BYTES = 300_000_000
"""Resident memory of Python and its libraries without torch; measured after the index of a few cells."""
VALUE_BYTES = 8
"""Of a stored value in a CSR file: float32 and its int32 column."""
MARGIN = 1.05
"""Of an estimate that may be a few per cent too low."""


def count_processors() -> int:
    """Processors of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_threads() -> int:
    """Processors that this job may use: those of the machine, or VCCAPP_THREADS where that is less."""
    asked = os.environ.get("VCCAPP_THREADS", "")
    return min(count_processors(), int(asked) if asked.isdecimal() and int(asked) else count_processors())


def require_disk(folder: Path, needed: float, *, purpose: str, fix: str = "free some space") -> None:
    """Raise ResourceError unless the disk of `folder`, which exists, has `needed` bytes free.

    purpose : what needs them, the begin of the sentence: 'The index of cells.h5ad'
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            "disk",
            f"{purpose} needs {bytes_text(needed)} of disk, {bytes_text(free)} are free in {folder}",
            found=free,
            fix=fix,
        )
