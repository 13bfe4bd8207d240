"""Starting the workers of the jobs that may start, and the keeper that does it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from vccapp.data.places import IMPORT_ROOT
from vccapp.data.resources import THREAD_VARIABLES, count_processors, machine_memory
from vccapp.errors import JobError
from vccapp.faults import FULL, name_problem
from vccapp.jobs.host import MARK, host_id, host_name
from vccapp.jobs.job import ACTIVE, CLAIMED, Job
from vccapp.jobs.keeping.admission import Limits, choose
from vccapp.jobs.keeping.fate import is_ours
from vccapp.jobs.keeping.place import is_kept, keeper_lock, read_sign
from vccapp.jobs.restore import describe_process
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.wording import reason_text

COMMAND = (sys.executable, "-m", "vccapp.jobs.worker")
KEEPER = "vccapp.jobs.keeping.keeper"
# What a task prints is in the log at once, and so is the place of a crash below Python.
LIVE_LOG = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
KEPT = (*THREAD_VARIABLES, "CUDA_VISIBLE_DEVICES", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")
"""Variables that a worker gets as they were where its job was started, beside those of the app."""
PREFIX = Settings.model_config["env_prefix"]
SECRET = f"{PREFIX}TOKEN"

BEGIN_SECONDS = 20.0
"""For which a keeper that was started may take until it says that it lives."""

# Keepers that this process started, and when, by their files.
_keepers: dict[Path, tuple[subprocess.Popen[bytes], float]] = {}


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables from which `Settings()` reads these settings."""
    return {
        f"{PREFIX}{name.upper()}": os.pathsep.join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in settings.model_dump(exclude_none=True).items()
    }


def environment_of_job(settings: Settings) -> dict[str, str]:
    """The environment variables that the worker of a job is given."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(PREFIX) or name in KEPT}
    kept.pop(SECRET, None)
    kept.pop(MARK, None)
    threads = dict.fromkeys(THREAD_VARIABLES, str(settings.threads)) if settings.threads else {}
    return kept | threads | environment(settings)


def ensure_keeper(settings: Settings, command: Sequence[str] = COMMAND) -> None:
    """See to it that this machine has a keeper. Raises JobError when it cannot be started."""
    lock, now = keeper_lock(settings, host_id()), time.monotonic()
    for place, (keeper, _) in list(_keepers.items()):
        if keeper.poll() is not None:  # so that it is no zombie
            del _keepers[place]
    if is_kept(lock) or (lock in _keepers and now - _keepers[lock][1] < BEGIN_SECONDS):
        return
    if (frozen := read_sign(lock).get("pid")) is not None:
        _kill_keeper(frozen)
    env = {name: value for name, value in os.environ.items() if name != MARK} | environment(settings)
    try:
        settings.jobs.mkdir(parents=True, exist_ok=True)
        with (settings.jobs / "keeper.log").open("ab") as log:
            _keepers[lock] = (_spawn([sys.executable, "-m", KEEPER, *command], log, env), now)
    except OSError as error:
        raise _not_started(error) from error


def start_ready(store: JobStore, command: Sequence[str]) -> dict[str, subprocess.Popen[bytes]]:
    """Start the workers of the jobs of this machine that may start now; by the ids of the jobs."""
    started = {}
    while (job := _take_next(store)) is not None:
        if (child := _start_worker(store, job, command)) is not None:
            started[job.id] = child
    return started


def limits_of(job: Job) -> Limits:
    """What all jobs may take together, by the settings with which this one was started."""
    fields = Settings.model_fields
    known = {name: job.environ[key] for name in fields if (key := f"{PREFIX}{name.upper()}") in job.environ}
    settings = Settings(**known)  # type: ignore[arg-type]
    memory = int(settings.machine_gb * 1e9) if settings.machine_gb else machine_memory()
    return Limits(settings.max_jobs, memory, count_processors(), _list_gpus(job.environ))


def _take_next(store: JobStore) -> Job | None:
    """The next job, whose share is taken; None when no job may start. Notes why each other waits."""
    with store.exclusive():
        active = sorted(store.find(state=ACTIVE), key=lambda job: (job.place, job.created))
        here = [job for job in active if is_ours(job, store.settings)]
        for job in active:
            if job.state == "queued" and job not in here:
                store.note_waiting(job.id, f"Waits for {host_name(job.host)}, where it was started")
        queued = [job for job in here if job.state == "queued"]
        if not queued:
            return None
        names = {name for job in queued for name in job.after}
        titles = {name: store.get(name).title for name in store.find_states(names)}
        claimed = [job for job in here if job.state in CLAIMED]
        limits = limits_of(max(queued, key=lambda job: job.created))
        found = choose(queued, claimed, limits, states=store.find_states(names), titles=titles)
        for job_id, why in found.never.items():
            store.move(job_id, "failed", error_code="not_started", reason=why, ended=time.time(), waits="")
        for job_id, why in found.waits.items():
            store.note_waiting(job_id, why)
        if found.start is None:
            return None
        store.move(
            found.start.id,
            "starting",
            gpus=found.gpus,
            waits="",
            reason="",
            error_code="",
            **describe_process(os.getpid()),
        )
        return store.get(found.start.id)


def _start_worker(store: JobStore, job: Job, command: Sequence[str]) -> "subprocess.Popen[bytes] | None":
    """None when no process can be started; the job is then recorded as failed."""
    folder = store.settings.jobs / job.id
    env = os.environ | LIVE_LOG | job.environ | {MARK: job.id}
    if job.gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(job.gpus)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.txt").open("ab") as log:
            child = _spawn([*command, job.id], log, env)
    except OSError as error:
        told = _not_started(error)
        store.move(job.id, "failed", ended=time.time(), error_code=told.code, reason=str(told))
        return None
    store.set_process(job.id, **describe_process(child.pid))
    return child


def _spawn(words: list[str], log: Any, env: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=IMPORT_ROOT,
        env=env,
        start_new_session=True,
    )


def _not_started(error: OSError) -> JobError:
    advice = "free some space on the disk" if error.errno in FULL else "free memory or close other programs"
    cause = name_problem(error.errno) or reason_text(error)
    return JobError("not_started", f"The worker could not be started ({cause})", fix=f"{advice}, then start it again")


def _kill_keeper(pid: int) -> None:
    """Of a keeper that is frozen, so that its lock is free; not another process of that number."""
    with contextlib.suppress(psutil.Error, OSError, TypeError, ValueError):
        if KEEPER in psutil.Process(pid).cmdline():
            os.kill(pid, signal.SIGKILL)


def _list_gpus(environ: dict[str, str]) -> tuple[str, ...]:
    """The NVIDIA GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them."""
    named = environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name for name in named.split(",") if name.strip() and name.strip() != "-1")
    with contextlib.suppress(OSError):
        return tuple(str(i) for i, _ in enumerate(os.scandir("/proc/driver/nvidia/gpus")))
    return ()
