"""What a job is: its states and what may follow what, its fields, and what can be told from them.

queued ──> starting ──> running ──> succeeded | failed | stopped | lost
   ^│         │└───────────┴──> stopping ──> stopped | succeeded | failed | lost
   └┼─────────┘ (what was to start it ended first)
    └──> stopped | failed | lost
"""

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vccapp.jobs.host import boot_id, boot_seconds
from vccapp.tasks.base import Needs, Task, read_task

State = Literal["queued", "starting", "running", "stopping", "succeeded", "failed", "stopped", "lost"]
CLAIMED: tuple[State, ...] = ("starting", "running", "stopping")
ACTIVE: tuple[State, ...] = ("queued", *CLAIMED)
FROM: dict[State, tuple[State, ...]] = {
    "queued": ("starting",),
    "starting": ("queued",),
    "running": ("starting",),
    "stopping": ("starting", "running"),
    "succeeded": ("starting", "running", "stopping"),
    "failed": ACTIVE,
    "stopped": ACTIVE,
    "lost": ACTIVE,
}
SILENT_SECONDS = 12.0
"""A worker gives a sign of life every two seconds; one that has given none for so long is said to be silent."""


class Job(BaseModel):
    """One row. Times are seconds since 1970 (UTC); `pid_created` and `beat` are seconds since the machine booted.

    task, params : name and fields of the task, as they were written
    host, boot : the machine (and its process numbers) that works for it, and the boot since which these hold
    place : its place in the queue is that among all such numbers
    after : ids of the jobs that must have succeeded before; needs : what it takes
    environ : the environment variables that its worker gets; gpus : the GPUs that it has
    left : seconds that it still needs, as its worker reckons; waits : why it waits
    error_code, reason : why it did not succeed
    """

    model_config = ConfigDict(frozen=True)

    id: str
    task: str
    title: str
    params: dict[str, Any]
    state: State
    fraction: float
    message: str
    created: float
    started: float | None
    ended: float | None
    heartbeat: float | None
    pid: int | None
    pid_created: float | None
    exit_code: int | None
    error_code: str
    reason: str
    result: dict[str, Any] | None
    host: str = ""
    boot: str = ""
    place: float = 0.0
    after: tuple[str, ...] = ()
    needs: Needs = Needs(memory_bytes=0, threads=1)
    environ: dict[str, str] = Field({}, exclude=True)  # may hold addresses that are secrets
    gpus: tuple[str, ...] = ()
    left: float | None = None
    waits: str = ""
    beat: float | None = None

    @property
    def active(self) -> bool:
        """Whether the job can still change its state."""
        return self.state in ACTIVE

    def read_task(self) -> Task:
        """The task itself. Raises SpecError or JobError where this version cannot read it."""
        return read_task(self.task, self.params)


class Event(BaseModel):
    """A change of state: when (seconds since 1970), to which, and why."""

    model_config = ConfigDict(frozen=True)

    time: float
    state: State
    reason: str


def seconds_left(job: Job, now: float) -> float | None:
    """The time that a running job still needs, from its rate of late; None when that cannot be told."""
    if job.state != "running" or job.left is None:
        return None
    return max(job.left - max(now - (job.heartbeat or now), 0.0), 0.0)


def silent_seconds(job: Job) -> float | None:
    """For how long the worker of a job has given no sign of life; None where it does, or has nothing to give."""
    if job.state not in CLAIMED or job.beat is None:
        return None
    # That of another machine is told by the time of day, as far as the two agree.
    quiet = boot_seconds() - job.beat if job.boot == boot_id() else time.time() - (job.heartbeat or job.created)
    return quiet if quiet > SILENT_SECONDS else None
