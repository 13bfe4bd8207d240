"""The progress of a task while it works, and the stop that it is asked for.

The main thread runs the task. A second one reports, and is the one that sees a stop: it learns of SIGTERM through a
pipe, even while the task sits in a long call, and kills the whole process group when the task has not ended `grace`
seconds later.
"""

import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

from vccapp.errors import Stopped
from vccapp.jobs.usage import Usage

HEARTBEAT_SECONDS = 2.0
USAGE_SECONDS = 5.0
REPORT_SECONDS = 0.2

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
    """The `progress` of a task, and the thread that reports it while the block runs.

    report : is given the fraction, the message and the seconds that are left (None before that can be told) when they
        have changed, at most every `seconds`, and as a sign of life
    usage : what is sampled meanwhile; set it where the work is done in this process
    """

    def __init__(
        self,
        report: Callable[[float, str, float | None], None],
        *,
        stop: StopRequest,
        grace: float,
        seconds: float = REPORT_SECONDS,
    ) -> None:
        self.report = report
        self.usage: Usage | None = None
        self.stop = stop
        self.grace = grace
        self.seconds = seconds
        self.latest = (0.0, "")
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)

    def __call__(self, fraction: float, message: str = "") -> None:
        self.latest = (min(max(0.0, float(fraction)), 1.0), message)
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
        pace = Pace()
        while True:
            ended, latest, now = self._ended, self.latest, time.monotonic()
            pace.note(latest[0])
            if (usage := self.usage) is not None and now - sampled > USAGE_SECONDS:
                sampled = now
                usage.sample()
            if latest != written or now - beaten > HEARTBEAT_SECONDS:
                written, beaten = latest, now
                self.report(*latest, pace.left())
            if ended:
                return
            if deadline is not None and now > deadline:
                log.error("the task has not stopped within %.0f s: killing it", self.grace)
                os.killpg(os.getpgrp(), signal.SIGKILL)
            readable, _, _ = select.select([self.stop.wakeup], [], [], self.seconds)
            if readable and any(self.stop.wakeup.recv(64)) and deadline is None:
                deadline = time.monotonic() + self.grace


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
