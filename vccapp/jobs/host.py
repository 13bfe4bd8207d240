"""Which machine this is, and whether a process that works for a job is still there.

Process numbers mean something on one machine, since one boot and in one namespace (a container has its own). What
belongs to another namespace is judged by locks, which the kernel keeps for all; what belongs to another machine is not
judged at all.
"""

import contextlib
import functools
import os
import platform
import time
from pathlib import Path

import psutil

MARK = "VCCAPP_JOB"
"""Every process of a job carries the job's id in this environment variable."""


@functools.cache
def machine() -> str:
    """This machine, without its boot and its namespace."""
    return f"{platform.node()} {_read('/etc/machine-id')[:12]}".strip()


@functools.cache
def host_id() -> str:
    """Where process numbers are those that we see: the machine, and the namespace of its process numbers."""
    try:
        space = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        space = "0"
    return f"{machine()} {space}"


@functools.cache
def boot_id() -> str:
    """Another one after each boot; empty where the system does not tell."""
    return _read("/proc/sys/kernel/random/boot_id")


def boot_seconds() -> float:
    """Seconds since the machine booted, which no change of the clock moves."""
    clock = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
    return time.clock_gettime(clock)


def host_name(host: str) -> str:
    """For people."""
    return host.partition(" ")[0] or "another machine"


def is_marked(pid: int, job_id: str) -> bool:
    """Whether the process carries the mark of the job (as far as that can be seen)."""
    try:
        return psutil.Process(pid).environ().get(MARK) == job_id
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    except psutil.AccessDenied:
        return True


def find_processes(job_id: str) -> list[psutil.Process]:
    """Those that carry the mark of this job, except the calling one."""
    every = psutil.process_iter(["environ"])
    return [p for p in every if p.pid != os.getpid() and (p.info["environ"] or {}).get(MARK) == job_id]


def kill_processes(job_id: str) -> None:
    """Kill every process that carries the mark of this job, except the calling one."""
    for process in find_processes(job_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
