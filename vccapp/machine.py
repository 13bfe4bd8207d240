"""How much memory there is: of the machine or the container that this process is in, and by its own limits.

machine_memory()        of all processes together: what is built in, or the limit of the container (cgroup v1, v2)
process_memory()        of this process alone: `ulimit` where that is less
"""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
_LIMIT_FILES = {"": "memory.max", "memory": "memory.limit_in_bytes"}
"""By the controllers that a line of /proc/self/cgroup names: v2 names none."""


def machine_memory() -> int:
    """Bytes of memory that all processes together may use, without swap."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits()])


def process_memory() -> int:
    """Bytes of memory that this process may use: those of the machine, or what `ulimit -v` or `-d` allows."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min([machine_memory(), *(limit for limit in limits if limit != resource.RLIM_INFINITY)])


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
