"""Which waiting job may start: a slot, memory, processors and GPUs for all that run together, in order.

A job of several threads holds so many processors; those behind it wait their turn. A job of one thread may run beside
one that holds the whole machine, so that a check does not wait for a training of hours, and overtakes what waits for
more. A job without threads only follows other work: it takes no slot, and waits only where there is no memory for one
more of its kind. It never waits for those that follow otherwise, which may wait for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vccapp.jobs.job import ACTIVE, Job, State
from vccapp.wording import bytes_text


@dataclass(frozen=True)
class Limits:
    """What all jobs of a machine may take together."""

    slots: int
    memory_bytes: int
    threads: int
    gpus: tuple[str, ...] = ()


@dataclass
class Decision:
    """start : the job to start now, with its gpus; waits : why each other waits; never : why one will not start."""

    start: Job | None = None
    gpus: tuple[str, ...] = ()
    waits: dict[str, str] = field(default_factory=dict)
    never: dict[str, str] = field(default_factory=dict)


def choose(
    queued: Iterable[Job],
    claimed: Iterable[Job],
    limits: Limits,
    *,
    states: Mapping[str, State],
    titles: Mapping[str, str],
) -> Decision:
    """queued : in their order; claimed : what holds its share; states, titles : of the jobs that others come after."""
    decision, claimed = Decision(), list(claimed)
    ahead: dict[int, Job] = {}
    for job in queued:
        before = {name: states.get(name) for name in job.after}
        failed = [name for name, state in before.items() if state != "succeeded" and state not in ACTIVE]
        if failed:
            what = f"'{titles[failed[0]]}' is {before[failed[0]]}" if failed[0] in titles else "a job before it is gone"
            decision.never[job.id] = f"It was to start after another job, but {what}. Start it again once that is done."
            continue
        if unfinished := [name for name, state in before.items() if state != "succeeded"]:
            decision.waits[job.id] = f"Waits until '{titles[unfinished[0]]}' has succeeded"
            continue
        weight = min(job.needs.threads, 2)
        gpus, lack = _fit(job, claimed, limits)
        if weight in ahead:
            decision.waits[job.id] = f"Waits behind '{ahead[weight].title}'"
        elif lack:
            decision.waits[job.id], ahead[weight] = lack, job
        elif decision.start is None:
            decision.start, decision.gpus = job, gpus
            claimed = [*claimed, job.model_copy(update={"gpus": gpus})]
    return decision


def _fit(job: Job, claimed: list[Job], limits: Limits) -> tuple[tuple[str, ...], str]:
    """The GPUs that a job would get, and what it lacks; nothing lacks a job that would be alone."""
    follows = not job.needs.threads
    held = [other for other in claimed if (other.needs == job.needs if follows else other.needs.threads)]
    taken = {gpu for other in claimed for gpu in other.gpus}
    free = tuple(gpu for gpu in limits.gpus if gpu not in taken)
    wanted = min(job.needs.gpus, len(limits.gpus))
    gpus = free[:wanted]
    if not held:
        return gpus, ""
    if not follows and len(held) >= limits.slots:
        return (), f"Waits for a slot: {len(held)} of {limits.slots} are taken"
    memory = sum(other.needs.memory_bytes for other in (held if follows else claimed))
    if memory + job.needs.memory_bytes > limits.memory_bytes:
        needed, left = bytes_text(job.needs.memory_bytes), bytes_text(max(limits.memory_bytes - memory, 0))
        whole = bytes_text(limits.memory_bytes)
        return (), f"Waits for memory: it needs {needed}, {left} of {whole} are not planned for"
    if follows:
        return gpus, ""
    threads = sum(other.needs.threads for other in held)
    if threads + job.needs.threads > limits.threads + (job.needs.threads == 1):
        return (), f"Waits for processors: {threads} of {limits.threads} are taken"
    if len(gpus) < wanted:
        return (), f"Waits for a GPU: {len(free)} of {len(limits.gpus)} are free, it needs {wanted}"
    return gpus, ""
