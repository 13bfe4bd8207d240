"""Put the official program of STATE into an environment of the workspace; nothing of it comes into ours.

    install_program(settings, progress=progress)      # Program; what stops or fails leaves nothing behind

The environment is made beside its place and moved there when the program has answered, so it is whole or not there.
"""

import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from vccapp.data.atomic import write_folder, write_json
from vccapp.data.resources import require_disk
from vccapp.neural.arc_state.follow import LogReader
from vccapp.neural.arc_state.process import run_program
from vccapp.neural.arc_state.program import ENVIRONMENT, RECORD, Program, ask_versions, find_program
from vccapp.progress import Progress, silent
from vccapp.settings import Settings

VERSION = "0.11.1"
"""Of arc-state: the one whose files and commands are known here."""
DISK_BYTES = {False: 2_700_000_000, True: 9_000_000_000}
"""Without and with CUDA; the first measured."""
TIME = "2 to 15 minutes, as quick as the network is"
N_PACKAGES = 80
"""That pip collects, about."""
DOWNLOADED, PUT = 0.6, 0.95
"""Of the progress: when all is downloaded, and put in its place."""
LOG = "install.log"
SCRIPT_BYTES = 100_000
"""That a command of an environment has at most."""
STEP = re.compile(r"(Collecting|Downloading|Installing|Successfully installed)\s+(\S+)")


def packages() -> list[str]:
    """What pip is asked for: the version that is known here, and torch as it is here."""
    return [f"arc-state=={VERSION}", f"torch=={version('torch').partition('+')[0]}"]


def needs_disk() -> int:
    """Bytes that the environment takes: torch comes with CUDA, unless ours is a build for CPUs."""
    return DISK_BYTES["+cpu" not in version("torch")]


def install_program(settings: Settings, *, progress: Progress = silent) -> Program:
    """Raises ResourceError for a full disk, JobError where a step fails; then there is no environment."""
    target = settings.state_environment
    target.parent.mkdir(parents=True, exist_ok=True)
    require_disk(target.parent, needs_disk(), purpose="The official program of STATE")
    with write_folder(target) as folder:
        python, state = (folder / "bin" / name for name in ("python", "state"))
        _run([sys.executable, "-m", "venv"], [str(folder)], folder, "Making an environment", progress)
        _install([str(python), "-m", "pip"], folder, progress)
        _run([str(state)], ["tx", "train", "--help"], folder, "Starting it for the first time", progress, at=PUT)
        versions = ask_versions(python, 0)
        _move_scripts(folder, target)
        record = {
            "versions": dict(versions),
            "python": sys.version.split()[0],
            "installed": datetime.now(UTC).isoformat(timespec="seconds"),
            "bytes": folder_bytes(folder),
        }
        write_json(folder / RECORD, ENVIRONMENT.stamp(record))
        progress(PUT, "Moving it to its place")
    progress(1.0, f"arc-state {versions['arc-state']} is installed")
    return find_program(settings)


def _install(pip: list[str], folder: Path, progress: Progress) -> None:
    lines, message, count = LogReader(folder / LOG), "Asking for packages", 0

    def look() -> None:
        nonlocal message, count
        for line in lines.new_lines():
            if found := STEP.search(line):
                count += found[1] == "Collecting"
                message = f"{found[1]} {found[2][:60]}"
                if found[1] == "Installing":  # of which pip says nothing until it is done
                    count, message = N_PACKAGES, "Writing the packages to the disk"
        progress(min(DOWNLOADED, DOWNLOADED * count / N_PACKAGES), message)

    words = ["install", "--no-input", "--disable-pip-version-check", *packages()]
    run_program(pip, words, folder=folder, log_file=folder / LOG, what="pip install", device="cpu", look=look)


def _run(command: list[str], words: list[str], folder: Path, what: str, progress: Progress, *, at: float = 0.0) -> None:
    look = partial(progress, at, what)
    run_program(command, words, folder=folder, log_file=folder / LOG, what=what, device="cpu", look=look)


def _move_scripts(folder: Path, target: Path) -> None:
    """Have the commands of the environment say where it will be."""
    for script in (folder / "bin").iterdir():
        if script.is_file() and not script.is_symlink() and script.stat().st_size < SCRIPT_BYTES:
            text = script.read_bytes()
            script.write_bytes(text.replace(os.fsencode(folder), os.fsencode(target)))


def folder_bytes(folder: Path) -> int:
    """Of its files."""
    return sum(entry.stat(follow_symlinks=False).st_size for entry in _files(folder))


def _files(folder: Path) -> Sequence[os.DirEntry[str]]:
    found: list[os.DirEntry[str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            found += _files(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else [entry]
    return found
