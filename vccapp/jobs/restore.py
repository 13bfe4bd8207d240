"""What stands of a job beside its log, from which a deleted job store is made anew: what it is, and who works for it.

jobs/<id>/job.json     the row as it was made
jobs/<id>/alive        held by its worker as long as it lives; says which process that is
jobs/<id>/end.json     how it ended (`vccapp.jobs.ending`)
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vccapp.data.atomic import write_json
from vccapp.data.lock import is_locked, process_birth
from vccapp.errors import VccAppError
from vccapp.jobs.ending import ENDING, read_ending
from vccapp.jobs.host import boot_id, boot_seconds, host_id
from vccapp.records import Format, read_record

JOB = Format("job", fix="delete it; the job is then not listed any more")
DESCRIPTION, ALIVE = "job.json", "alive"
EXIT_DUPLICATE = 3
"""Exit code of a worker whose job another one works for."""
FIELDS = {"id", "task", "title", "params", "state", "created", "host", "boot", "after", "needs", "environ", "same"}
LOST = "The job store was deleted while it ran, and its worker is gone. Finished results are kept. Start it again."


def write_description(folder: Path, row: Mapping[str, Any]) -> None:
    """Keep what a job is."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / DESCRIPTION, JOB.stamp(row))


@contextlib.contextmanager
def hold_alive(folder: Path) -> Iterator[None]:
    """Hold the file that says that this process works for the job. Raises BlockingIOError when another one does."""
    with (folder / ALIVE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        json.dump(describe_process(os.getpid()), file)
        file.flush()
        yield


def describe_process(pid: int) -> dict[str, Any]:
    """The fields of a job that say that this process of this machine works for it."""
    return {
        "pid": pid,
        "pid_created": process_birth(pid) or 0.0,
        "host": host_id(),
        "boot": boot_id(),
        "beat": boot_seconds(),
    }


def is_held(folder: Path) -> bool:
    """Whether a process works for the job of this folder, on this machine or in another namespace of it."""
    return is_locked(folder / ALIVE)


def describe_rows(jobs: Path) -> Iterator[dict[str, Any]]:
    """The rows of the jobs whose folders are there, the oldest first: ended, waiting, running or, without worker, lost.

    What cannot be read is left out.
    """
    for folder in sorted(jobs.glob("*/")):
        with contextlib.suppress(VccAppError, OSError, ValueError):
            row = read_record(folder / DESCRIPTION, JOB, dict)
            if set(row) == FIELDS:
                yield row | _state(folder)


def _state(folder: Path) -> dict[str, Any]:
    ended = read_ending(folder / ENDING)
    if ended is not None:
        state, outcome = ended
        known: dict[str, Any] = {
            name: outcome[name] for name in ("ended", "exit_code", "error_code", "reason") if name in outcome
        }
        result = outcome.get("result")
        return {"state": state, "result": None if result is None else json.dumps(result), **known}
    if is_held(folder):
        now = time.time()
        return {"state": "running", "started": now, "heartbeat": now, **json.loads((folder / ALIVE).read_text())}
    if not (folder / ALIVE).exists():
        return {}  # it waits
    return {"state": "lost", "ended": time.time(), "error_code": "store_deleted", "reason": LOST}
