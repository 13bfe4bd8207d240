"""The job store of a workspace that can only be read: a copy of it in memory."""

import contextlib
import os
import sqlite3
from pathlib import Path


def may_write(folder: Path) -> bool:
    """Whether a folder, or what of its path is there, takes files."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return os.access(there, os.W_OK)


def copy_store(path: Path, into: sqlite3.Connection) -> None:
    """Copy a file that cannot be written, or be locked. Nothing where there is none."""
    if not path.exists():
        return
    for how in ("mode=ro", "immutable=1"):  # the first reads what stands beside the file too, where it is whole
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as file:
            try:
                file.backup(into)
                return
            except sqlite3.OperationalError:
                if how == "immutable=1":
                    raise
