"""Writing so that nothing half-written is ever visible: write beside, fsync, rename.

`write_folder` and `write_file` hand out a path next to the target and move it into place when the block ends well;
when it ends in an error the beside-path is removed and the target is as it was. What a kill leaves behind names its
writer, and is removed by the next write in the same folder, or the next start of a worker or of the app.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vccapp.data.lock import is_running, name_machine, name_process
from vccapp.errors import SpecError

if TYPE_CHECKING:
    import numpy as np

BESIDE = re.compile(
    r"\.(?P<name>.+)\.(?:(?P<writer>[0-9a-f]{6}-\d+-\d+)-)?[0-9a-z_]{8}(?P<old>\.old)?\.part",
)
"""Names of what is being written: `.name.machine-process-birth-id.part`; 0.1.0 did not say by whom."""
OLD_SECONDS = 7 * 24 * 3600.0
"""After this time nobody writes any more, on whatever machine."""
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
"""What the system says where a folder is to be moved onto one that holds something."""
MAX_NAME = 180
"""Bytes of a target's name in that of its leftover: disks take 255."""


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until all files below a folder are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync(path)
    sync(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers below `folder` were writing when they were killed. None may be writing there now."""
    for path in list(folder.rglob(".*.part")):
        _remove(path)


def remove_dead(*folders: Path, deep: bool = True) -> None:
    """Remove what writers in these folders, and below them if `deep`, left when they were killed.

    What a living process writes stays. So does what another machine wrote on a shared disk, or an older version, until
    it is `OLD_SECONDS` old. A folder that was to be replaced when its writer was killed is put back.
    """
    for folder in folders:
        for where, names, files in os.walk(folder):
            for name in [*names, *files]:
                if (found := BESIDE.fullmatch(name)) and _is_dead(Path(where, name), found["writer"] or ""):
                    _put_back(Path(where, name), Path(where, found["name"]), was=bool(found["old"]))
            if "pyvenv.cfg" in files:  # a Python environment: nothing of ours, in ten thousands of files
                names.clear()
            names[:] = [name for name in names if deep and not BESIDE.fullmatch(name) and not name.endswith(".zarr")]


def _is_dead(path: Path, writer: str) -> bool:
    """Another user's never is: their processes may be hidden."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if found.st_uid != os.getuid():
        return False
    machine, _, process = writer.partition("-")
    if machine != name_machine():
        return time.time() - found.st_mtime > OLD_SECONDS
    pid, _, birth = process.partition("-")
    return not is_running(int(pid), float(birth))


def _put_back(path: Path, target: Path, *, was: bool) -> None:
    """Remove a leftover; one that `was` the target becomes it again where there is none."""
    with contextlib.suppress(OSError):
        if was and not target.exists():
            os.replace(path, target)
        else:
            _remove(path)


def remove_folder(folder: Path) -> None:
    """Remove a folder at once, if there is one: none that is half removed is ever seen."""
    if folder.exists():
        beside = _beside(folder)
        os.replace(folder, beside)
        shutil.rmtree(beside, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def require_new(target: Path, *, suffix: str = "", what: str = "") -> None:
    """Raise SpecError where the target exists, or its name has not the suffix as which `what` are written."""
    if suffix and target.suffix != suffix:
        raise SpecError(
            "suffix",
            f"{what} are written as {suffix}, but the output is called '{target.name}'",
            fix=f"end its name in {suffix}",
        )
    if target.exists():
        raise SpecError(
            "output_exists",
            f"{target} already exists and is not overwritten",
            fix="choose another name or delete it",
        )


def _beside(target: Path, *, old: bool = False) -> Path:
    name = os.fsdecode(os.fsencode(target.name)[:MAX_NAME])
    return target.with_name(f".{name}.{name_process()}-{uuid.uuid4().hex[:8]}{'.old' if old else ''}.part")


def _make_room(target: Path) -> None:
    """The folder of a target, without what killed writers left in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_dead(target.parent, deep=False)


@contextlib.contextmanager
def write_file(target: Path, *, new: bool = False) -> Iterator[Path]:
    """A path to write to; it becomes `target` when the block ends well.

    new : raise SpecError, as `require_new`, where another writer has made the target in the meantime
    """
    _make_room(target)
    beside = _beside(target)
    try:
        yield beside
        sync(beside)
        if new:
            require_new(target)
        os.replace(beside, target)
        sync(target.parent)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def write_folder(target: Path, *, new: bool = False) -> Iterator[Path]:
    """A folder to fill; it replaces `target` when the block ends well. Of two writers the last one's stays.

    new : raise FileExistsError, and leave `target` as it is, where there is one by then
    """
    _make_room(target)
    beside, old = _beside(target), _beside(target, old=True)
    beside.mkdir()
    try:
        yield beside
        sync_folder(beside)
        if new:
            _rename_new(beside, target)
        while beside.exists():
            with contextlib.suppress(FileNotFoundError):
                os.replace(target, old)
            try:
                os.replace(beside, target)
            except OSError as error:
                if error.errno not in TAKEN:
                    raise
                _remove(old)  # another writer's has come in between
        _remove(old)
        sync(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        _put_back(old, target, was=True)


def _rename_new(folder: Path, target: Path) -> None:
    if not target.exists():  # a rename replaces an empty folder
        try:
            return os.replace(folder, target)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
    raise FileExistsError(target)


def scratch_folder(parent: Path | None = None) -> "tempfile.TemporaryDirectory[str]":
    """A folder for what is needed for a while, in `parent` or where the system keeps such.

    It goes with the object, or, where its process is killed, before the next one is made there.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    where.mkdir(parents=True, exist_ok=True)
    remove_dead(where, deep=False)
    prefix = f".vccapp.{name_process()}-"
    return tempfile.TemporaryDirectory(prefix=prefix, suffix=".part", dir=where, ignore_cleanup_errors=True)


def reserve(path: Path) -> None:
    """Take the space of a file that has its length but not yet its bytes: writing to a map of it then cannot fail.

    Without this a full disk kills the process (SIGBUS). Raises OSError where there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, max(path.stat().st_size, 1))


class _Plain:
    """A file to numpy: as a real one it would lose the number of the system's error ("100 requested and 0 written")."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def save_array(path: Path, array: "np.ndarray") -> None:
    """As numpy.save does; a disk that fails raises OSError with its number."""
    import numpy as np

    with path.open("wb") as file:
        np.save(_Plain(file), array)


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with write_file(target) as beside:
        beside.write_text(json.dumps(value, indent=2, default=str) + "\n")


def holds_json(path: Path, value: Any) -> bool:
    """Whether a file says exactly this: what work was begun for. One that cannot be read does not."""
    try:
        return json.loads(path.read_bytes()) == json.loads(json.dumps(value, default=str))
    except (OSError, ValueError):
        return False
