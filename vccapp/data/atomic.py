"""Writing so that nothing half-written is ever visible: write beside, fsync, rename.

`write_folder` and `write_file` hand out a path next to the target and move it into place when the block ends well;
when it ends in an error the beside-path is removed and the target is as it was.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vccapp.errors import SpecError


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
        if path.is_dir():
            shutil.rmtree(path)
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


def _beside(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")


@contextlib.contextmanager
def write_file(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes `target` when the block ends well."""
    beside = _beside(target)
    try:
        yield beside
        sync(beside)
        os.replace(beside, target)
        sync(target.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def write_folder(target: Path) -> Iterator[Path]:
    """A folder to fill; it replaces `target` when the block ends well."""
    beside = _beside(target)
    beside.mkdir()
    try:
        yield beside
        sync_folder(beside)
        old = _beside(target)
        if target.exists():
            os.replace(target, old)
        os.replace(beside, target)
        sync(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
