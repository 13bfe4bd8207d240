"""The worker: one process that runs one task and records how it ended.

    python -m vccapp.jobs.worker <job id>        (settings from VCCAPP_*; standard error is the log)

The main thread runs the task. A second thread writes progress and a sign of life to the store, and is the one that
sees a stop: it learns of SIGTERM through a pipe, even while the task sits in a long call, or of the state in the store,
where it was asked for on another machine; and kills the whole process group when the task has not ended `grace` seconds
later.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

from vccapp.data.atomic import remove_dead
from vccapp.errors import JobError, Stopped, VccAppError
from vccapp.faults import describe
from vccapp.jobs.ending import ENDING, reserve_ending, unrecorded_code, write_ending
from vccapp.jobs.host import kill_processes
from vccapp.jobs.job import Job, State
from vccapp.jobs.local import reconcile
from vccapp.jobs.notices import send_notices
from vccapp.jobs.restore import EXIT_DUPLICATE, describe_process, hold_alive
from vccapp.jobs.store import JobStore
from vccapp.jobs.usage import Usage
from vccapp.settings import Settings, open_settings
from vccapp.tasks.base import TASKS, Tasks, read_task

GRACE_SECONDS = 20.0
HEARTBEAT_SECONDS = 2.0
USAGE_SECONDS = 5.0
REPORT_SECONDS = 0.2
EXIT_FAILED, EXIT_REFUSED = 1, 2

log = logging.getLogger("vccapp.worker")


class StopRequest:
    """SIGTERM and SIGINT as a flag for the task and a byte in `wakeup` for the other thread.

    Processes that the task forks get the default handling back, so that they end at once.
    """

    def __init__(self) -> None:
        self.asked = False
        self.wakeup, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
            os.register_at_fork(after_in_child=lambda number=number: signal.signal(number, signal.SIG_DFL))

    def _ask(self, *_: object) -> None:
        self.asked = True

    def wake(self) -> None:
        """Wake the other thread without a signal."""
        self._sender.send(b"\0")


class Reporter:
    """The `progress` of a task, and the thread that carries it to the store while the block runs."""

    def __init__(self, store: JobStore, job_id: str, *, stop: StopRequest, grace: float) -> None:
        self.store = store
        self.job_id = job_id
        self.stop = stop
        self.grace = grace
        self._latest = (0.0, "")
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)

    def __call__(self, fraction: float, message: str = "") -> None:
        self._latest = (min(max(0.0, float(fraction)), 1.0), message)
        if self.stop.asked:
            raise Stopped

    def __enter__(self) -> "Reporter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.stop.wake()
        self._thread.join()

    def _work(self) -> None:
        written, beaten, sampled, deadline = None, 0.0, 0.0, None
        pace, usage = Pace(), Usage(self.store.settings.jobs / self.job_id)
        while True:
            ended, latest, now = self._ended, self._latest, time.monotonic()
            pace.note(latest[0])
            if now - sampled > USAGE_SECONDS:
                sampled = now
                usage.sample()
            if latest != written or now - beaten > HEARTBEAT_SECONDS:
                written, beaten = latest, now
                self._write(latest, pace.left())
            if ended:
                return
            if deadline is not None and now > deadline:
                log.error("the task has not stopped within %.0f s: killing it", self.grace)
                os.killpg(os.getpgrp(), signal.SIGKILL)
            readable, _, _ = select.select([self.stop.wakeup], [], [], REPORT_SECONDS)
            if readable and any(self.stop.wakeup.recv(64)) and deadline is None:
                deadline = time.monotonic() + self.grace

    def _write(self, latest: tuple[float, str], left: float | None) -> None:
        try:
            if self.store.is_replaced():
                log.warning("the job store was deleted or replaced: it is opened anew")
                self.store.reopen()
            state = self.store.report(self.job_id, fraction=latest[0], message=latest[1], now=time.time(), left=left)
        except JobError:
            log.exception("progress could not be recorded")
        else:
            if state == "stopping" and not self.stop.asked:
                os.kill(os.getpid(), signal.SIGTERM)


class Pace:
    """Reckons the time that is left from the rate of late, which counts most."""

    def __init__(self) -> None:
        self._began = self._now = time.monotonic()
        self._fraction = 0.0
        self._rate: float | None = None

    def note(self, fraction: float) -> None:
        """What is done by now."""
        now = time.monotonic()
        done, seconds = fraction - self._fraction, now - self._now
        if done <= 0 or seconds < REPORT_SECONDS / 2:
            return
        weight = min(1.0, seconds / (5.0 + 0.2 * (now - self._began)))
        self._rate = done / seconds if self._rate is None else (1 - weight) * self._rate + weight * done / seconds
        self._now, self._fraction = now, fraction

    def left(self) -> float | None:
        """Seconds; None before there is a rate."""
        if not self._rate:
            return None
        return max((1 - self._fraction) / self._rate - (time.monotonic() - self._now), 0.0)


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
        with Reporter(store, job_id, stop=stop, grace=grace) as progress:
            state, outcome, failure = _run(job, tasks, settings=store.settings, progress=progress)
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


def _run(
    job: Job, tasks: Tasks, *, settings: Settings, progress: Reporter
) -> tuple[State, dict[str, Any], BaseException | None]:
    """Run the task; the state it ends in, what to record with it, and what it failed of."""
    try:
        task = read_task(job.task, job.params, tasks=tasks)
        result = task.run(settings, progress).model_dump(mode="json")
    except BaseException as error:
        if progress.stop.asked:
            # Child processes share the SIGTERM, so the task may have met their death before it met Stopped.
            log.info("stopped (%s)", type(error).__name__)
            return "stopped", {"exit_code": 0, "reason": "Stopped."}, None
        expected = isinstance(error, VccAppError)
        if not expected:
            log.exception("the task failed")
        code, reason = describe(error)
        exit_code = EXIT_REFUSED if expected else EXIT_FAILED
        return "failed", {"exit_code": exit_code, "error_code": code, "reason": reason}, error
    return "succeeded", {"exit_code": 0, "result": result}, None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
