"""The worker: one process that runs one task and records how it ended.

    python -m vccapp.jobs.worker <job id>        (settings from VCCAPP_*; standard error is the log)

Progress and a sign of life go to the store (`vccapp.jobs.working.reporting`), in which it also sees a stop that was
asked for on another machine. The work of a job that is sent to a cluster is done there, and followed here.
"""

import contextlib
import functools
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from vccapp.data.atomic import remove_dead
from vccapp.errors import JobError, VccAppError
from vccapp.jobs.cluster.follow import follow_there
from vccapp.jobs.ending import ENDING, reserve_ending, unrecorded_code, write_ending
from vccapp.jobs.host import kill_processes
from vccapp.jobs.job import Job, State
from vccapp.jobs.local import reconcile
from vccapp.jobs.notices import send_notices
from vccapp.jobs.restore import EXIT_DUPLICATE, describe_process, hold_alive
from vccapp.jobs.store import JobStore
from vccapp.jobs.usage import Usage
from vccapp.jobs.working.ends import EXIT_REFUSED, Outcome, success, work_to_end
from vccapp.jobs.working.reporting import Reporter, StopRequest
from vccapp.settings import Settings, open_settings
from vccapp.tasks.base import TASKS, Tasks, read_task

GRACE_SECONDS = 20.0

log = logging.getLogger("vccapp.worker")


def main(job_id: str, *, tasks: Tasks = TASKS, grace: float = GRACE_SECONDS) -> int:
    """Work for one job until it has ended. Returns the exit code: 0, or 1 (unexpected) and 2 (refused) for failures,
    or what `unrecorded_code` says where the job store could not be written."""
    stop = StopRequest()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = open_settings()
    except VccAppError as error:  # nor is it known where the jobs are
        log.error("%s", error)
        return EXIT_REFUSED
    try:
        with JobStore(settings) as store, _alive(settings, job_id):
            exit_code = _work(store, job_id, tasks=tasks, stop=stop, grace=grace)
    except BlockingIOError:
        log.info("another process works for this job")
        return EXIT_DUPLICATE
    except JobError as error:
        log.exception("the job store cannot be used")
        return unrecorded_code(error)
    with contextlib.suppress(JobError):  # this job is recorded; who looks at the queue will start the next
        reconcile(settings)
        with JobStore(settings) as store:
            ended = store.get(job_id)
        send_notices(ended, settings)
    return exit_code


def _work(store: JobStore, job_id: str, *, tasks: Tasks, stop: StopRequest, grace: float) -> int:
    """Run the task, record its end. Returns the exit code; raises JobError as the store does."""
    store.move(job_id, "starting", only_from="queued")  # by hand, without a keeper
    store.set_process(job_id, **describe_process(os.getpid()))
    job = store.get(job_id)
    if not job.active:
        log.info("end: not started, the job is %s", job.state)
        return 0
    log.info("start: task %s, job %s, process %d", job.task, job.id, os.getpid())
    began = time.monotonic()
    state: State = "stopped"
    outcome: dict[str, Any] = {"exit_code": 0, "reason": "Stopped."}
    failure: BaseException | None = None
    ending = store.settings.jobs / job_id / ENDING
    reserve_ending(ending)
    remove_dead(store.settings.home, store.settings.checkpoints)
    if store.move(job_id, "running", started=time.time(), heartbeat=time.time()):
        with Reporter(_report_to(store, job_id, stop), stop=stop, grace=grace) as progress:
            work = functools.partial(_do, job, store.settings, progress, tasks=tasks)
            state, outcome, failure = work_to_end(work, stop=stop)
    outcome = {"ended": time.time(), **outcome}
    try:
        log.info("end: %s after %.1f s. %s", state, time.monotonic() - began, outcome.get("reason", ""))
        write_ending(ending, state, outcome)
        try:
            if not store.move(job_id, state, **outcome):
                log.warning("it was recorded as %s before", store.get(job_id).state)
        except JobError as error:
            log.exception("the end of the job could not be recorded")
            return unrecorded_code(failure or error)
    finally:
        kill_processes(job_id)
    return outcome["exit_code"]


def _do(job: Job, settings: Settings, progress: Reporter, *, tasks: Tasks) -> tuple[State, Outcome]:
    """The task of a job, here or on the cluster."""
    task, folder = read_task(job.task, job.params, tasks=tasks), settings.jobs / job.id
    if task.works_on == "ray":
        return follow_there(task, settings, folder=folder, progress=progress)
    progress.usage = Usage(folder, gpus=job.gpus)
    return success(task.run(settings, progress).model_dump(mode="json"))


def _report_to(store: JobStore, job_id: str, stop: StopRequest) -> Callable[[float, str, float | None], None]:
    """What carries progress to the store, and a stop that stands there to this process."""

    def report(fraction: float, message: str, left: float | None) -> None:
        try:
            if store.is_replaced():
                log.warning("the job store was deleted or replaced: it is opened anew")
                store.reopen()
            state = store.report(job_id, fraction=fraction, message=message, now=time.time(), left=left)
        except JobError:
            log.exception("progress could not be recorded")
        else:
            if state == "stopping" and not stop.asked:
                os.kill(os.getpid(), signal.SIGTERM)

    return report


def _alive(settings: Settings, job_id: str) -> contextlib.ExitStack:
    """Say, as far as the disk takes it, that this process works for the job. Raises BlockingIOError if another does."""
    stack = contextlib.ExitStack()
    try:
        stack.enter_context(hold_alive(settings.jobs / job_id))
    except BlockingIOError:
        raise
    except OSError:
        log.exception("it cannot be said that this process works for the job")
    return stack


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
