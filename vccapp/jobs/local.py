"""Jobs on this machine: each is one process in a session of its own, so it outlives the app that started it.

`start_job` writes the job, then starts `python -m vccapp.jobs.worker <id>`. `stop_job` asks for an end and returns at
once; the worker ends itself by force when the work does not listen. `reconcile` finds the jobs whose process is gone.

Every process of a job carries the job's id in its environment (VCCAPP_JOB): what a dead worker leaves behind is found
by that mark, never by a process id alone.

Jobs of a grid are parked: they get their process when there is a slot, from the job that ends before them, or from
whoever calls `reconcile`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from vccapp.data.atomic import remove_dead
from vccapp.data.lock import is_running, process_birth
from vccapp.data.places import IMPORT_ROOT
from vccapp.errors import JobError
from vccapp.faults import FULL, name_problem
from vccapp.jobs.ending import ENDING, explain_code, read_ending
from vccapp.jobs.store import ACTIVE, PARKED, Job, JobStore, State
from vccapp.settings import Settings
from vccapp.tasks.base import Task
from vccapp.wording import reason_text

COMMAND = (sys.executable, "-m", "vccapp.jobs.worker")
MARK = "VCCAPP_JOB"
# What a task prints is in the log at once, and so is the place of a crash below Python.
LIVE_LOG = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
AGAIN = "Finished results are kept. Start it again."
# A queued job gets its process within milliseconds; one without after this time lost the app that was starting it.
START_SECONDS = 30.0

# Workers that this process started, by store and job: their parent alone learns their exit codes.
_children: dict[tuple[Path, str], subprocess.Popen[bytes]] = {}


def start_job(settings: Settings, task: Task, *, command: Sequence[str] = COMMAND) -> Job:
    """Write a job and start its worker: `command` with the job's id as its last argument.

    Raises JobError when no process can be started; the job is then recorded as failed.
    """
    with JobStore(settings) as store:
        job = store.create(task.named(datetime.now(UTC)))
        _start_worker(store, job.id, command)
        return store.get(job.id)


def start_parked(settings: Settings, *, command: Sequence[str] = COMMAND) -> None:
    """Start the workers of parked jobs as far as there are slots: hundreds in the queue then cost nothing."""
    pid, birth = os.getpid(), process_birth(os.getpid()) or 0.0
    with JobStore(settings) as store:
        while job_id := store.take_parked(max_jobs=settings.max_jobs, pid=pid, pid_created=birth):
            with contextlib.suppress(JobError):  # it is recorded
                _start_worker(store, job_id, command)


def stop_job(settings: Settings, job_id: str) -> Job:
    """Ask a job to stop, and return at once; a job that has ended stays as it is. Raises JobError for an unknown id."""
    reconcile(settings)
    with JobStore(settings) as store:
        waiting = store.move(job_id, "stopped", only_from="queued", ended=time.time(), reason="Stopped while waiting.")
        if waiting or store.move(job_id, "stopping"):
            _signal(store.get(job_id))
        return store.get(job_id)


def reconcile(settings: Settings) -> list[Job]:
    """Record the jobs whose process is gone as lost (as stopped, if they were stopping) and end what it left behind.

    Returns the jobs it changed. Cheap: call it when the app starts and whenever jobs are shown.
    """
    changed = []
    with JobStore(settings) as store:
        if store.read_only:
            return []
        active = store.find(state=ACTIVE)
        for job in active:
            gone, code = _fate(settings, job)
            if not gone:
                continue
            state, outcome = _ending(store, job, code)
            if store.move(job.id, state, only_from=job.state, **outcome):
                kill_processes(job.id)
                changed.append(store.get(job.id))
        for damaged in active.unreadable:  # it would hold its slot for ever
            job_id = damaged.error.found
            if not _processes(job_id):
                outcome = {"error_code": damaged.error.code, "reason": str(damaged.error)}
                store.move(job_id, "lost", ended=time.time(), **outcome)
    if changed:
        remove_dead(settings.home, settings.checkpoints)
    _release(settings, {job.id for job in active})
    if any(job.pid == PARKED for job in active):
        start_parked(settings)
    return changed


def is_alive(job: Job) -> bool:
    """Whether the process that was started for this job still runs (not a later one with the same number)."""
    if job.pid is None or job.pid_created is None:
        return False
    return is_running(job.pid, job.pid_created)


def kill_processes(job_id: str) -> None:
    """Kill every process that carries the mark of this job, except the calling one."""
    for process in _processes(job_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _processes(job_id: str) -> list[psutil.Process]:
    """Those that carry the mark of this job, except the calling one."""
    every = psutil.process_iter(["environ"])
    return [p for p in every if p.pid != os.getpid() and (p.info["environ"] or {}).get(MARK) == job_id]


def _start_worker(store: JobStore, job_id: str, command: Sequence[str]) -> None:
    """Raises JobError when no process can be started; the job is then recorded as failed."""
    settings, log = store.settings, store.log_path(job_id)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*command, job_id],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=IMPORT_ROOT,
                env=os.environ | LIVE_LOG | environment(settings) | {MARK: job_id},
                start_new_session=True,
            )
    except OSError as error:
        advice = "free some space on the disk" if error.errno in FULL else "free memory or close other programs"
        cause = name_problem(error.errno) or reason_text(error)
        reason = f"The worker could not be started ({cause}); {advice}, then start it again."
        store.move(job_id, "failed", ended=time.time(), error_code="not_started", reason=reason)
        raise JobError("not_started", reason) from error
    _children[settings.jobs_db, job_id] = child
    store.set_process(job_id, pid=child.pid, pid_created=process_birth(child.pid) or 0.0)


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables from which `Settings()` reads these settings."""
    prefix = Settings.model_config["env_prefix"]
    return {
        f"{prefix}{name.upper()}": os.pathsep.join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in settings.model_dump().items()
    }


def _signal(job: Job) -> None:
    """SIGTERM to the process group of a job's worker, which leads it."""
    if job.pid is not None and is_alive(job):
        try:
            os.killpg(job.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


def _fate(settings: Settings, job: Job) -> tuple[bool, int | None]:
    """Whether the process of an active job is gone, and its exit code where this process is the parent."""
    if job.pid == PARKED:
        return False, None
    child = _children.get((settings.jobs_db, job.id))
    if child is not None:
        code = child.poll()
        return code is not None, code
    if job.pid is None:
        return time.time() - job.created > START_SECONDS, None
    return not is_alive(job), None


def _release(settings: Settings, active: set[str]) -> None:
    """Let go of the workers of this store that have ended and whose end is recorded, so that none stays a zombie."""
    for (store, job_id), child in list(_children.items()):
        if store == settings.jobs_db and job_id not in active and child.poll() is not None:
            _children.pop((store, job_id), None)


def _ending(store: JobStore, job: Job, code: int | None) -> tuple[State, dict[str, Any]]:
    """The state in which a job has ended whose process is gone, and what to record with it."""
    told = read_ending(store.settings.jobs / job.id / ENDING)
    if told is not None:
        return told
    stopping = job.state == "stopping"
    cause, reason = ("", "It did not stop in time and was killed.") if stopping else _loss(job, code)
    outcome = {"ended": time.time(), "exit_code": code, "error_code": cause, "reason": reason}
    return "stopped" if stopping else "lost", outcome


def _loss(job: Job, code: int | None) -> tuple[str, str]:
    """What happened to a job whose process is gone: a code for programs, and a sentence with what to do."""
    if code is not None and (told := explain_code(code)):
        return told
    if job.pid is None:
        return "not_started", "The app ended before it could start the worker. Start it again."
    if code == -signal.SIGKILL:
        return "killed", f"The worker was killed (signal 9, SIGKILL), most often because memory ran out. {AGAIN}"
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return "crashed", f"The worker crashed (signal {-code}, {name}); see the log. {AGAIN}"
    if code is not None:
        return "exited", f"The worker ended with exit code {code} without a message; see the log. {AGAIN}"
    causes = "it was killed, perhaps because memory ran out, or its disk was full, read-only or gone"
    return "killed", f"The worker ended without a message; {causes}. {AGAIN}"
