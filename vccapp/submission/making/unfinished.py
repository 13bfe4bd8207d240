"""A file of cells that is being made, and what a later start needs to go on with it.

with open_unfinished(out, key) as work:             # out appears when the block ends well
    with CsrWriter(work.path, ..., again=work.begun) as writer:
        work.resume(writer)                         # what was written before
        writer.append(block, label); work.keep(writer, rows)

.NAME.building/  beside the file: cells.h5ad, checkpoint.npz, key.json (what it was begun for), lock
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vccapp.data.atomic import holds_json, remove_leftovers, sync, write_file, write_json
from vccapp.data.h5ad import CsrWriter, Written
from vccapp.data.lock import hold_lock
from vccapp.errors import DataError, JobError, ResourceError, Stopped, VccAppError

CHECKPOINT_VALUES = 2**25
"""Values after which what is written is made safe: 268 MB."""
CHECKPOINT_SECONDS = 30.0
ARRAYS = ("appended", "ends", "values", "indices")


class Unfinished:
    """The file and its last checkpoint. done : appended pieces (numbers of cells), all on the disk"""

    def __init__(self, folder: Path) -> None:
        self.path, self._checkpoint = folder / "cells.h5ad", folder / "checkpoint.npz"
        self._written: Written | None = None
        self.done: list[int] = []
        self._n_values, self._saved = 0, time.monotonic()
        with contextlib.suppress(OSError, ValueError, KeyError, BadZipFile):
            with np.load(self._checkpoint) as saved:
                written = Written(**{name: saved[name] for name in ARRAYS}, chunks=int(saved["chunks"]))
                done, size = saved["done"].tolist(), int(saved["size"])
            if self.path.stat().st_size >= size and sum(done) == len(written.ends) - 1:
                self._written, self.done = written, done

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return self._written is not None

    @property
    def is_safe(self) -> bool:
        """Whether there is a checkpoint, of now or of before."""
        return self._checkpoint.is_file()

    def resume(self, writer: CsrWriter, labels: Sequence[tuple[str, ...]]) -> None:
        """Bring a new writer to the last checkpoint. labels : of each piece that is done"""
        if self._written is None:
            return
        try:
            writer.replay(self._written, list(zip(self.done, labels, strict=True)))
        except ValueError:
            raise DataError(
                "cells_unfinished", f"The cells begun in {self.path.parent} are damaged", fix="build them again"
            ) from None
        self._written = None

    def keep(self, writer: CsrWriter, n_cells: int, n_values: int) -> None:
        """A piece is complete; now and then all of them are made safe."""
        self.done.append(n_cells)
        self._n_values += n_values
        if self._n_values < CHECKPOINT_VALUES and time.monotonic() - self._saved < CHECKPOINT_SECONDS:
            return
        written = writer.checkpoint()
        arrays = {name: getattr(written, name) for name in ARRAYS}
        arrays |= {"done": np.array(self.done, np.int64), "chunks": np.array(written.chunks)}
        with write_file(self._checkpoint) as beside, beside.open("wb") as file:
            np.savez(file, **arrays, size=np.array(self.path.stat().st_size))
        self._n_values, self._saved = 0, time.monotonic()


@contextlib.contextmanager
def open_unfinished(out: Path, key: Any) -> Iterator[Unfinished]:
    """Begin a file, or go on with it where it was begun for the same `key`.

    What was made stays when it is stopped, killed, or the disk is full; not when it cannot be made.
    Raises JobError while another process makes it.
    """
    folder = folder_of(out)
    folder.mkdir(parents=True, exist_ok=True)
    problem = f"Another job is making the cells {out}"
    with hold_lock(folder / "lock", busy=JobError("cells_busy", problem, fix="wait for it or stop it")):
        if not holds_json(folder / "key.json", key):
            for name in ("checkpoint.npz", "cells.h5ad"):
                (folder / name).unlink(missing_ok=True)
            write_json(folder / "key.json", key)
        remove_leftovers(folder)
        work = Unfinished(folder)
        try:
            yield work
        except BaseException as error:
            impossible = isinstance(error, VccAppError) and not isinstance(error, Stopped | ResourceError)
            if impossible or not work.is_safe:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        sync(work.path)
        os.replace(work.path, out)
        sync(out.parent)
        shutil.rmtree(folder, ignore_errors=True)


def folder_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.building")


def taken_bytes(out: Path) -> int:
    """What an unfinished file has of the disk already."""
    with contextlib.suppress(OSError):
        return (folder_of(out) / "cells.h5ad").stat().st_blocks * 512
    return 0
