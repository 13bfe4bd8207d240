"""What became of the jobs whose process is gone: recorded as lost or as they ended, with the cause in a sentence."""

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

from vccapp.data.atomic import remove_dead
from vccapp.data.lock import is_running
from vccapp.jobs.cluster.exchange import leave
from vccapp.jobs.ending import ENDING, explain_code, read_ending
from vccapp.jobs.host import boot_id, find_processes, host_id, is_marked, kill_processes, machine
from vccapp.jobs.job import CLAIMED, Job, State
from vccapp.jobs.keeping.place import is_kept, keeper_lock
from vccapp.jobs.restore import is_held
from vccapp.jobs.store import JobStore
from vccapp.jobs.usage import tell_end
from vccapp.settings import Settings

AGAIN = "Finished results are kept. Start it again."


def is_alive(job: Job) -> bool:
    """Whether the process that was started for this job still runs here (not a later one with the same number)."""
    if job.pid is None or job.pid_created is None:
        return False
    return is_running(job.pid, job.pid_created) and is_marked(job.pid, job.id)


def is_here(job: Job) -> bool:
    """Whether process numbers of a job are those that we see."""
    return job.host in ("", host_id()) and job.boot in ("", boot_id())


def is_gone(job: Job, settings: Settings) -> bool | None:
    """Whether no process works for a job that was started; None where that cannot be told from this machine."""
    if is_here(job):
        return not (is_alive(job) or find_processes(job.id))
    if job.boot == boot_id():  # another namespace of this machine: its keeper judges, or else the lock of the worker
        return None if is_kept(keeper_lock(settings, job.host)) else not is_held(settings.jobs / job.id)
    return True if _is_same_machine(job) else None


def _is_same_machine(job: Job) -> bool:
    return job.host.rpartition(" ")[0] == machine()


def is_ours(job: Job, settings: Settings) -> bool:
    """Whether the keeper of this machine looks after a job: its own, and those that wait for one that is gone."""
    if job.host in ("", host_id()):
        return True
    known = job.boot in ("", boot_id()) or _is_same_machine(job)
    return job.state == "queued" and known and not is_kept(keeper_lock(settings, job.host))


def record_ends(store: JobStore, codes: dict[str, int | None]) -> list[Job]:
    """Record how jobs ended whose process is gone, and end what it left behind; returns them.

    codes : exit codes of workers, as their parent alone knows them; None of one that has not ended for it. One that
        ends is not to be found for a moment before its parent learns how.
    """
    settings, changed = store.settings, list[Job]()
    if store.read_only:
        return []
    active = store.find(state=CLAIMED)
    for job in active:
        if codes[job.id] is None if job.id in codes else not is_gone(job, settings):
            continue
        if job.state == "starting" and job.id not in codes and not (settings.jobs / job.id / ENDING).exists():
            why = "What was to start its worker ended before."
            store.move(job.id, "queued", only_from="starting", reason=why, pid=None, pid_created=None)
            continue
        state, outcome = _ending(settings, job, codes.get(job.id))
        if store.move(job.id, state, only_from=job.state, **outcome):
            kill_processes(job.id)
            leave(settings.jobs / job.id)
            changed.append(store.get(job.id))
    for damaged in active.unreadable:  # it would hold its slot for ever
        job_id = damaged.error.found
        if not find_processes(job_id):
            outcome = {"error_code": damaged.error.code, "reason": str(damaged.error)}
            store.move(job_id, "lost", ended=time.time(), **outcome)
    if changed:
        remove_dead(settings.home, settings.checkpoints)
    return changed


def _ending(settings: Settings, job: Job, code: int | None) -> tuple[State, dict[str, Any]]:
    """The state in which a job has ended whose process is gone, and what to record with it."""
    folder = settings.jobs / job.id
    told = read_ending(folder / ENDING)
    if told is not None:
        return told
    stopping = job.state == "stopping"
    cause, reason = ("", "It did not stop in time and was killed.") if stopping else _loss(job, code, folder)
    outcome = {"ended": time.time(), "exit_code": code, "error_code": cause, "reason": reason}
    return "stopped" if stopping else "lost", outcome


def _loss(job: Job, code: int | None, folder: Path) -> tuple[str, str]:
    """What happened to a job whose process is gone: a code for programs, and a sentence with what to do."""
    if code is not None and (told := explain_code(code)):
        return told
    if not is_here(job):
        return "rebooted", f"The machine or container was restarted while it ran. {AGAIN}"
    if code in (None, -signal.SIGKILL) and (memory := tell_end(folder)):
        return "memory", f"The system ended the worker because memory ran out ({memory}). {AGAIN}"
    if code == -signal.SIGKILL:
        return "killed", f"The worker was killed (signal 9, SIGKILL) by a user or a program. {AGAIN}"
    if code is not None and code < 0:
        name = f"signal {-code}"
        with contextlib.suppress(ValueError):
            name += f", {signal.Signals(-code).name}"
        return "crashed", f"The worker crashed ({name}); see the log. {AGAIN}"
    if code is not None:
        return "exited", f"The worker ended with exit code {code} without a message; see the log. {AGAIN}"
    causes = "it was killed, or its disk was full, read-only or gone"
    return "killed", f"The worker ended without a message; {causes}. {AGAIN}"
