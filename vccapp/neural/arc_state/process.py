"""One run of the official program: started in the process group of the job, watched, ended, and why it failed.

run_program(program, words, folder=folder, log=folder / "log.txt", what="state tx train", device="auto", look=look)
"""

import logging
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from vccapp.errors import JobError, ResourceError, VccAppError
from vccapp.neural.arc_state.follow import LogReader

POLL_SECONDS = 0.5
GRACE_SECONDS = 3.0
"""That the program has to end in once it is asked to: it saves nothing then, and a stop is to take five at most."""
TAIL_BYTES = 20_000
MEMORY = re.compile(r"OutOfMemoryError|out of memory|MemoryError|can't allocate memory|Cannot allocate memory", re.I)
DISK = re.compile(r"No space left on device|Disk quota exceeded")
FAULT = re.compile(r"(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|Exit)\b.*")
LESS = "choose fewer genes, a smaller batch or a smaller network, or free memory, then resume the run"
UNSET = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")
"""Variables of this Python that would reach into the other environment."""

log = logging.getLogger("vccapp.state")


def run_program(
    command: Sequence[str],
    words: Sequence[str],
    *,
    folder: Path,
    log_file: Path,
    what: str,
    device: str,
    look: Callable[[], None],
) -> None:
    """Run `command words` in `folder` until it has ended well.

    What it says is added to `log_file`, and to the log of the job. look : called twice a second and once at the end;
    what it raises ends the program. Raises ResourceError or JobError, with its last words, where it fails.
    """
    with log_file.open("ab") as output:
        output.write(f"$ {shlex.join([*command, *words])}\n".encode())
        output.flush()
        start = output.tell()
        lines = LogReader(log_file, start=start)
        process = subprocess.Popen(
            [*command, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(device),
        )
        try:
            while process.poll() is None:
                _tell(lines)
                look()
                time.sleep(POLL_SECONDS)
        except BaseException:
            _end(process)
            raise
    _tell(lines)
    look()  # a stop reaches the program first: then this raises it
    if process.returncode:
        raise explain_end(process.returncode, read_tail(log_file, start), what)


def explain_end(code: int, said: str, what: str) -> VccAppError:
    """Why it ended so. code : of its exit, negative for a signal; said : the end of its log. Pure."""
    if DISK.search(said):
        return ResourceError("disk", f"{what} ended because the disk is full", fix="free some space, then resume")
    if MEMORY.search(said):
        return ResourceError("memory", f"{what} ended because memory ran out ({last_words(said)})", fix=LESS)
    if code == -signal.SIGKILL:
        return JobError("state_killed", f"{what} was killed (signal 9), most often because memory ran out", fix=LESS)
    if code < 0:
        name = signal.Signals(-code).name
        return JobError("state_crashed", f"{what} crashed (signal {-code}, {name})", fix="see the log of the run")
    words = last_words(said)
    return JobError("state_failed", f"{what} ended with exit code {code}: {words}", fix="see the log of the run")


def last_words(said: str) -> str:
    """The last line that names an error, else the last line."""
    lines = [line.rstrip("\r").rpartition("\r")[2].strip() for line in said.split("\n")]
    faults = [line for line in lines if FAULT.match(line)]
    return next((line for line in reversed(faults or lines) if line), "it said nothing")


def read_tail(path: Path, start: int = 0) -> str:
    """The end of a log, from `start` on."""
    with path.open("rb") as file:
        file.seek(max(start, path.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def _tell(lines: LogReader) -> None:
    for line in lines.new_lines():
        log.info("%s", line)


def _environment(device: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in UNSET}
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}  # it takes a GPU wherever it sees one
    return own | {"PYTHONUNBUFFERED": "1", "WANDB_MODE": "disabled"} | hidden


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it with all that it started: politely, which it takes at the end of a step, then by force."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in started:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
