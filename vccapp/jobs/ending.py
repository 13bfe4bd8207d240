"""How a job ended, kept beside its log: for a job store that cannot take it, or was deleted.

The worker reserves a block beside its log and writes there how the job ended, which takes no new space, before the job
store learns of it; and where the store cannot be written it ends with an exit code that says what is the matter with
the disk. `vccapp.jobs.keeping.fate` reads both, also of a worker that was killed between the two.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, cast, get_args

from vccapp.errors import JobError
from vccapp.faults import SENTENCES, errno_of
from vccapp.jobs.job import State

ENDING = "end.json"
SIZE = 4096
UNRECORDED = 64
"""Exit codes from here on: the end could not be recorded because of the system's error of that number."""


def reserve_ending(path: Path) -> None:
    """Take the space that `write_ending` will need, as far as there is some."""
    with contextlib.suppress(OSError), path.open("wb") as file:
        file.write(b" " * SIZE)
        file.flush()
        os.fsync(file.fileno())


def write_ending(path: Path, state: State, outcome: dict[str, Any]) -> None:
    """Keep how the job ended in the space reserved, as far as the disk takes it."""
    text = json.dumps({"state": state, **outcome}).encode()
    with contextlib.suppress(OSError), path.open("rb+" if path.exists() else "wb") as file:
        file.write(text.ljust(SIZE))
        file.flush()
        os.fsync(file.fileno())


def read_ending(path: Path) -> tuple[State, dict[str, Any]] | None:
    """The state a job ended in and what is to be recorded with it; None where nothing was written."""
    try:
        outcome = json.loads(path.read_bytes())
        state = outcome.pop("state")
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None
    return (cast("State", state), outcome) if state in get_args(State) else None


def unrecorded_code(error: BaseException) -> int:
    """The exit code of a worker that could not record how its job ended."""
    number = error.found if isinstance(error, JobError) else errno_of(error)
    return UNRECORDED + (number if number in SENTENCES else 0)


def explain_code(code: int) -> tuple[str, str] | None:
    """What `unrecorded_code` says: a code for programs, and a sentence; None for other exit codes."""
    if code == UNRECORDED:
        return "job_store", "The worker could not write to the job store; see the log."
    if code - UNRECORDED not in SENTENCES:
        return None
    name, problem, fix = SENTENCES[code - UNRECORDED]
    return name, f"The worker could not record its work: {problem[:1].lower()}{problem[1:]}; {fix}."
