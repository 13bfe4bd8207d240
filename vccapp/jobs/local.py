"""Jobs on this machine: each is one process in a session of its own, so it outlives the app that started it.

`start_job` writes the job; the keeper (`vccapp.jobs.keeping.keeper`) starts `python -m vccapp.jobs.worker <id>` when it
is its turn. `stop_job` asks for an end and returns at once; the worker ends itself by force when the work does not
listen, and the keeper ends a worker that does not. `reconcile` sees to it that there is a keeper.
"""

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from vccapp.errors import JobError, VccAppError
from vccapp.jobs.host import host_id, host_name, kill_processes
from vccapp.jobs.job import ACTIVE, Job, silent_seconds
from vccapp.jobs.keeping.fate import is_alive, is_gone, is_here, is_ours, record_ends
from vccapp.jobs.keeping.launch import COMMAND, ensure_keeper, environment_of_job
from vccapp.jobs.keeping.place import is_kept, keeper_lock
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.tasks.base import Needs, Task
from vccapp.tasks.resume import Resume, task_again
from vccapp.tasks.sweep import Sweep
from vccapp.tasks.train import Train

FOLLOWING = Needs(memory_bytes=200_000_000, threads=0)
"""What a job takes of this machine whose work is done on a cluster."""
UNSEEN_SECONDS = 60.0
"""A job of another machine without a sign of life for so long can be given up."""


def start_job(settings: Settings, task: Task, *, after: Iterable[str] = (), command: Sequence[str] = COMMAND) -> Job:
    """Queue a job, behind those of `after`; the keeper starts its worker: `command` with the job's id at its end.

    A task equal to one that waits or runs is that job. Raises JobError when `after` names no job, or no keeper can be
    started; the job is then recorded as failed.
    """
    before = tuple(after)
    same = hashlib.sha256(f"{task.name} {before} {task.model_dump_json()}".encode()).hexdigest()
    needs = estimate_needs(task, settings)
    with JobStore(settings) as store:
        for name in before:
            store.get(name)
        job = store.create(
            task.named(datetime.now(UTC)), needs=needs, after=before, environ=environment_of_job(settings), same=same
        )
        try:
            ensure_keeper(settings, command)
        except JobError as error:
            store.move(job.id, "failed", ended=time.time(), error_code=error.code, reason=str(error))
            raise
    return job


def start_again(settings: Settings, job_id: str, *, command: Sequence[str] = COMMAND) -> Job:
    """Start a job anew that has ended without success; a training that can go on goes on.

    Raises JobError for one that is active or has succeeded, VccAppError for what the task refuses.
    """
    with JobStore(settings) as store:
        job = store.get(job_id)
    if job.active or job.state == "succeeded":
        raise JobError("nothing_to_start", f"The job {job.id} is {job.state}", fix="start a new one")
    task = task_again(job.read_task(), settings)
    task.check(settings)
    return start_job(settings, task, command=command)


def stop_job(settings: Settings, job_id: str, *, force: bool = False) -> Job:
    """Ask a job to stop, and return at once; a job that has ended stays as it is.

    force : do not wait for a checkpoint. Raises JobError for an unknown id.
    """
    reconcile(settings)
    with JobStore(settings) as store:
        store.move(job_id, "stopped", only_from="queued", ended=time.time(), reason="Stopped while waiting.", waits="")
        store.move(job_id, "stopping")
        job = store.get(job_id)
        if job.state == "stopping" and is_here(job):
            if force:
                kill_processes(job.id)
                for driven in _driven_by(job, store):
                    stop_job(settings, driven.id, force=True)
            else:
                _signal(job)
        elif job.state == "stopping" and _is_unseen(job, settings):
            why = f"Given up: {host_name(job.host)}, where it ran, gives no sign of life."
            store.move(job.id, "lost", ended=time.time(), error_code="unseen", reason=why)
        return store.get(job_id)


def stop_all(settings: Settings) -> list[Job]:
    """Ask all jobs to stop, those that wait first, so that none of them starts meanwhile."""
    with JobStore(settings) as store:
        active = store.find(state=ACTIVE)
    active.sort(key=lambda job: (job.state != "queued", -job.place))
    return [stop_job(settings, job.id) for job in active]


def move_in_queue(settings: Settings, job_id: str, *, first: bool) -> Job:
    """Make a waiting job the first or the last in the queue. Raises JobError for one that does not wait."""
    with JobStore(settings) as store:
        job = store.get(job_id)
        if not store.set_place(job_id, first=first):
            raise JobError("not_waiting", f"The job {job_id} is {job.state}", fix="move one that waits")
        return store.get(job_id)


def list_queue(settings: Settings) -> list[Job]:
    """The jobs that have not ended: those that work, then those that wait, in their order."""
    reconcile(settings)
    with JobStore(settings) as store:
        return sorted(store.find(state=ACTIVE), key=lambda job: (job.state == "queued", job.place))


def reconcile(settings: Settings) -> list[Job]:
    """See to it that the queue moves on. Cheap: call it when the app starts and whenever jobs are shown.

    Where no keeper lives, the jobs whose process is gone are recorded as lost (as stopped, if they were stopping), and
    a keeper is started if there is work for one. Returns the jobs it changed.
    """
    if is_kept(keeper_lock(settings, host_id())):
        return []
    with JobStore(settings) as store:
        changed = record_ends(store, {})
        if store.read_only or not any(is_ours(job, settings) for job in store.find(state=ACTIVE)):
            return changed
    with contextlib.suppress(JobError):  # the next look tries it again
        ensure_keeper(settings)
    return changed


def estimate_needs(task: Task, settings: Settings) -> Needs:
    """What a task takes of this machine, as far as it can be told, within the threads that the settings give a job."""
    if task.works_on == "ray":
        return FOLLOWING
    try:
        needs = task.needs(settings)
    except VccAppError:
        needs = Needs(memory_bytes=settings.memory_bytes)
    threads = min(needs.threads, settings.threads) if settings.threads else needs.threads
    return needs.model_copy(update={"threads": threads})


def _driven_by(job: Job, store: JobStore) -> list[Job]:
    """The runs that a sweep has started and that have not ended; a killed one cannot stop them itself."""
    if job.task != Sweep.name:
        return []
    return store.find(state=ACTIVE, task=(Train.name, Resume.name), naming=job.params["sweep_id"])


def _signal(job: Job) -> None:
    """SIGTERM to the process group of a job's worker, which leads it."""
    if job.pid is not None and is_alive(job):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGTERM)


def _is_unseen(job: Job, settings: Settings) -> bool:
    """Whether a job of another machine can be given up."""
    gone = is_gone(job, settings)
    return gone is True or (gone is None and (silent_seconds(job) or 0.0) > UNSEEN_SECONDS)
