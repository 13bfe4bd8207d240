"""How much memory there is: of the machine or the container that this process is in, and by its own limits.

machine_memory()        of all processes together: what is built in, or the limit of the container (cgroup v1, v2)
process_memory()        of this process alone: `ulimit` where that is less
    require_room()          refuses a `ulimit` with which the libraries cannot even be loaded
"""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from vccapp.errors import ResourceError
from vccapp.wording import bytes_text

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
_LIMIT_FILES = {"": "memory.max", "memory": "memory.limit_in_bytes"}
"""By the controllers that a line of /proc/self/cgroup names: v2 names none."""


ADDRESSES, ADDRESSES_EACH = 3_000_000_000, 200_000_000
"""Bytes of addresses (ulimit -v) that a small training and its scores take: in all, and a processor.

Measured: 3.2 GB on 2 processors with torch 2.13 and the demo, of which 0.7 GB is ever in memory. With less, OpenBLAS
tries for ever to get its buffers while it is loaded, and others crash.
"""


def machine_memory() -> int:
    """Bytes of memory that all processes together may use, without swap."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits()])


def process_memory() -> int:
    """Bytes of memory that this process may use: those of the machine, or what `ulimit -v` or `-d` allows."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min([machine_memory(), *(limit for limit in limits if limit != resource.RLIM_INFINITY)])


def require_room() -> None:
    """Raise ResourceError where `ulimit -v` leaves less than the libraries take: they would hang or crash."""
    limit, needed = resource.getrlimit(resource.RLIMIT_AS)[0], ADDRESSES + ADDRESSES_EACH * (os.cpu_count() or 1)
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise ResourceError(
            "memory_limit",
            f"A process may have {bytes_text(limit)} of addresses here (ulimit -v), and the libraries take "
            f"{bytes_text(needed)}, most of it never in memory",
            found=limit,
            fix="remove that limit (ulimit -v unlimited) and bound jobs by VCCAPP_MEMORY_GB",
        )


def _cgroup_limits() -> Iterator[int]:
    """The limits of this process's groups and of those around them; "max", or a number beyond any machine, is none.

    A container often sees its own group as the root, whatever path the system names.
    """
    with contextlib.suppress(OSError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            name = next((name for name in controllers.split(",") if name in _LIMIT_FILES), None)
            if name is None:
                continue
            group = CGROUPS / name / path.strip("/")
            for folder in (group, *group.parents):
                with contextlib.suppress(OSError, ValueError):
                    yield int((folder / _LIMIT_FILES[name]).read_text())
                if folder == CGROUPS / name:
                    break
