"""Writing an h5ad of any size: X as CSR by blocks of cells, then the tables (encodings of anndata 0.12).

    with CsrWriter(path, genes=genes, pert_col="target_gene") as writer:   # a prediction: cells of one label at a time
        writer.append(block, "non-targeting")

    with create_h5(path) as file:                                          # anything else
        x = GrowingCsr(file, n_genes=n_genes)
        x.append(block.data, block.indices, block.indptr[1:])
        x.close()
        write_tables(file, obs=obs, var=var, uns={})

Unlike anndata's own files, X/data and X/indices are chunked, since they grow; readers do not see it.

HDF5 crashes the process when it cannot write what it still holds (a full disk). It writes through a file of ours here,
which keeps the system's error to itself and hands it to Python.
"""

import contextlib
import io
import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

CHUNK = 2**18
"""Values in one HDF5 chunk of X: 1 MB."""
VALUE_BYTES = 4
CACHED = 8
"""Chunks of an array that HDF5 holds back before it writes them."""
WIDE = 2**31
"""Stored values from which on row pointers and, as scipy and the official packagers have it, columns take 8 bytes."""


class _Disk(io.RawIOBase):
    """A file for HDF5 that never fails to write: the first error is kept, and what comes after it is kept in memory
    until the writer looks for the error, since HDF5 reads back what it wrote, and crashes on anything else.

    reserved : bytes that are taken at once; what is not needed of them is given back at the end
    again : the file is there already, and goes on
    chunks : whole chunks of X written; replaying: these are there already, and are not written again
    dropping : what comes is not written at all
    """

    def __init__(self, path: Path, *, reserved: int, again: bool) -> None:
        super().__init__()
        self.error: OSError | None = None
        self.chunks, self.replaying, self.dropping = 0, False, False
        self._path, self._at, self._size = path, 0, 0
        self._lost: list[tuple[int, bytes]] = []
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | (0 if again else os.O_TRUNC), 0o666)
        if reserved and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._file, 0, reserved)
            except OSError as error:
                self.close()
                raise self._named(error) from None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = os.preadv(self._file, [buffer], self._at)
        if self._lost:
            view, first = memoryview(buffer).cast("B"), self._at
            view[found:] = bytes(len(view) - found)
            for at, lost in self._lost:
                start, stop = max(at, first), min(at + len(lost), first + len(view))
                if start < stop:
                    view[start - first : stop - first] = lost[start - at : stop - at]
            found = max(found, min(len(view), self._size - first))
        self._at += found
        return found

    def write(self, data: Any) -> int:
        with memoryview(data).cast("B") as left:
            whole = len(left) in (CHUNK * VALUE_BYTES, 2 * CHUNK * VALUE_BYTES)  # of values of 4 bytes, or 8
            self.chunks += whole
            done = len(left) if self.dropping or (self.replaying and whole) else 0
            while self.error is None and done < len(left):
                try:
                    done += os.pwrite(self._file, left[done:], self._at + done)
                except OSError as error:
                    self.error = self._named(error)
            if done < len(left):
                self._lost.append((self._at + done, bytes(left[done:])))
            self._at += len(left)
            self._size = max(self._size, self._at)
            return len(left)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        return self._size

    def flush(self) -> None:
        """What is written is with the system."""

    def sync(self) -> None:
        """Wait until it is on the disk."""
        try:
            os.fsync(self._file)
        except OSError as error:
            self.error = self.error or self._named(error)

    def close(self) -> None:
        if not self.closed:
            try:
                if not self.dropping:
                    os.ftruncate(self._file, self._size)
            except OSError as error:
                self.error = self.error or self._named(error)
            os.close(self._file)
        super().close()

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, str(self._path))


class NewFile(h5py.File):
    """A new HDF5 file, open to write."""

    def __init__(self, path: Path, *, reserved: int, again: bool = False) -> None:
        self.disk = _Disk(path, reserved=reserved, again=again)
        super().__init__(self.disk, "w", rdcc_nbytes=CACHED * CHUNK * VALUE_BYTES)

    def close(self) -> None:
        super().close()
        self.disk.close()

    def finish(self) -> None:
        """Close it; raises the OSError that writing has met, whatever HDF5 has made of it."""
        try:
            self.close()
        finally:
            self.check()

    def check(self) -> None:
        """Raise the OSError that writing has met."""
        if self.disk.error is not None:
            raise self.disk.error


@contextlib.contextmanager
def create_h5(path: Path, *, reserved: int = 0) -> Iterator[NewFile]:
    """A new file; raises OSError, where `check` is called and at the end, when the disk does not take it.

    reserved : the space of the file as far as it is known, taken before anything is written
    """
    file = NewFile(path, reserved=reserved)
    try:
        yield file
    finally:
        file.finish()


class GrowingCsr:
    """The group X of a new file: float32 values; indices and row pointers are int32 while they suffice, else int64.

    Indices turn to int64 at the end where there are more values than was known: that writes them twice.
    What the file becomes depends on what is appended alone, byte by byte. So a file that broke off is gone on with by
    the same calls: `replay` makes them again, and what is on the disk already is not written again.
    """

    def __init__(
        self,
        file: NewFile,
        *,
        n_genes: int,
        compression: Literal["gzip"] | None = None,
        expected: int = 0,
        types: tuple[np.dtype, np.dtype] | None = None,
    ) -> None:
        """expected : stored values, as far as they are known; types : of indices and row pointers, where set"""
        self._file, self._group, self._n_genes = file, file.create_group("X"), n_genes
        self._types, self._compression = types, compression
        self._data = self._create("data", np.dtype("<f4"))
        self._indices = self._create("indices", _index_type(expected) if types is None else types[0])
        self._n_values = 0
        self._ends: list[np.ndarray] = [np.zeros(1, np.int64)]
        self._appended: list[int] = []
        self._last: deque[tuple[int, np.ndarray, np.ndarray]] = deque()

    def append(self, values: np.ndarray, indices: np.ndarray, ends: np.ndarray) -> None:
        """Add cells. ends : (n,) where the values of each cell end in this block."""
        start, stop = self._n_values, self._n_values + len(values)
        for dataset, block in ((self._data, values), (self._indices, indices)):
            dataset.resize((stop,))
            dataset[start:] = block
        self._file.check()
        self._ends.append(start + ends.astype(np.int64))
        self._n_values = stop
        self._appended.append(len(values))
        kept = slice(max(self._held_from - start, 0), None)
        self._last.append((start + kept.start, values[kept].copy(), indices[kept].copy()))
        while len(self._last) > 1 and self._last[1][0] <= self._held_from:
            self._last.popleft()

    @property
    def _held_from(self) -> int:
        """The first value that HDF5 may hold back, with a margin."""
        return max(self._n_values // CHUNK - 2 * CACHED, 0) * CHUNK

    def written(self) -> "Written":
        """What `replay` needs. Wait for `NewFile.disk.sync` first."""
        arrays = [np.concatenate([part[i] for part in self._last] or [np.zeros(0)]) for i in (1, 2)]
        first = self._last[0][0] if self._last else 0
        values, indices = (array[max(self._held_from - first, 0) :] for array in arrays)
        ends = np.concatenate(self._ends)
        return Written(np.array(self._appended, np.int64), ends, values, indices, self._file.disk.chunks)

    def replay(self, written: "Written") -> None:
        """Go on in the file of another writer, which had written this. Raises ValueError where it is another file."""
        total = int(written.appended.sum())
        first, start = total - len(written.values), 0
        self._file.disk.replaying = True
        for n in written.appended.tolist():
            blank = min(max(first - start, 0), n)
            taken = slice(max(start - first, 0), max(start + n - first, 0))
            values = np.concatenate([np.zeros(blank, np.float32), written.values[taken]])
            indices = np.concatenate([np.zeros(blank, np.int32), written.indices[taken]])
            self.append(values, indices, np.zeros(0, np.int64))
            start += n
        self._file.disk.replaying = False
        self._ends = [written.ends]
        if self._file.disk.chunks != written.chunks:
            msg = f"{self._file.disk.chunks} chunks were written again where there were {written.chunks}"
            raise ValueError(msg)

    def close(self) -> None:
        """Write the row pointers and the shape."""
        indptr = np.concatenate(self._ends)
        if self._types is None and self._n_values >= WIDE and self._indices.dtype.itemsize < 8:
            self._widen()
        self._group["indptr"] = indptr.astype(self._indices.dtype if self._types is None else self._types[1])
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        self._group.attrs["shape"] = np.array([len(indptr) - 1, self._n_genes], np.int64)

    def _create(self, name: str, dtype: np.dtype) -> h5py.Dataset:
        """An empty array that grows by chunks of one size in bytes, whatever its type."""
        chunk = CHUNK * VALUE_BYTES // dtype.itemsize
        return self._group.create_dataset(
            name, (0,), dtype, maxshape=(None,), chunks=(chunk,), compression=self._compression
        )

    def _widen(self) -> None:
        """Write the indices again as int64, a chunk at a time."""
        wide = self._create("wide", np.dtype("<i8"))
        wide.resize((self._n_values,))
        for start in range(0, self._n_values, CHUNK):
            wide[start : start + CHUNK] = self._indices[start : start + CHUNK]
            self._file.check()
        del self._group["indices"]
        self._group.move("wide", "indices")
        self._indices = wide


def _index_type(n_values: int) -> np.dtype:
    return np.dtype("<i4" if n_values < WIDE else "<i8")


class Written(NamedTuple):
    """What a growing X has written, as far as it is not in the file.

    appended : (appends,) values of each; ends : (cells + 1,); values, indices : the last ones, which HDF5 may have held
    back; chunks : whole chunks that it had written
    """

    appended: np.ndarray
    ends: np.ndarray
    values: np.ndarray
    indices: np.ndarray
    chunks: int


def write_tables(file: h5py.File, *, obs: pd.DataFrame, var: pd.DataFrame, uns: dict[str, Any]) -> None:
    """Write all of an AnnData file but X; groups that the file has already are left as they are, the rest is empty."""
    from anndata.io import write_elem

    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    rest: dict[str, dict[str, Any]] = {name: {} for name in ("layers", "obsm", "obsp", "varm", "varp")}
    empty = {name: value for name, value in rest.items() if name not in file}
    for name, value in {"obs": obs, "var": var, "uns": uns, **empty}.items():
        write_elem(file, name, value)


class CsrWriter:
    """Append csr blocks with their label; the file is complete when the `with` block ends well.

    obs has the column `pert_col`, and `context_col` where there is one, both categorical with the categories in
    anndata's order; its index is "0", "1", ...
    """

    def __init__(
        self,
        path: Path,
        *,
        genes: Sequence[str],
        pert_col: str,
        context_col: str | None = None,
        reserved: int = 0,
        expected: int = 0,
        again: bool = False,
    ) -> None:
        """reserved : of `create_h5`; expected : of `GrowingCsr`; again : the file is there, and `replay` comes first"""
        self._file = NewFile(path, reserved=reserved, again=again)
        self._genes = list(genes)
        self._columns: dict[str, list[str]] = {name: [] for name in (pert_col, context_col) if name is not None}
        self._x = GrowingCsr(self._file, n_genes=len(self._genes), expected=expected)

    def append(self, block: csr_matrix, *labels: str) -> None:
        """Add cells of one label, and of one context where the file names them.

        block : (n, n_genes) csr, rows sorted by gene and without explicit zeros
        """
        if block.shape[1] != len(self._genes):
            msg = f"A block of {block.shape[1]} genes does not fit a file of {len(self._genes)}."
            raise ValueError(msg)
        self._x.append(block.data, block.indices, block.indptr[1:])
        self._name(block.shape[0], labels)

    def checkpoint(self) -> Written:
        """Wait until what was appended is on the disk; returns what `replay` needs to go on from here."""
        self._file.disk.sync()
        self._file.check()
        return self._x.written()

    def replay(self, written: Written, labels: Sequence[tuple[int, tuple[str, ...]]]) -> None:
        """Go on after a checkpoint. labels : numbers of cells and what `append` was given for them, in order."""
        self._x.replay(written)
        for n, own in labels:
            self._name(n, own)

    def _name(self, n: int, labels: Sequence[str]) -> None:
        for column, label in zip(self._columns.values(), labels, strict=True):
            column += [label] * n

    def _finish(self) -> None:
        self._x.close()
        from natsort import natsorted

        obs = pd.DataFrame(
            {name: pd.Categorical(column, natsorted(set(column))) for name, column in self._columns.items()}
        )
        obs.index = obs.index.astype(str)
        write_tables(self._file, obs=obs, var=pd.DataFrame(index=np.array(self._genes, dtype=object)), uns={})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
            else:
                self._file.disk.dropping = True  # what HDF5 holds back stays as the last checkpoint has it
        finally:
            self._file.finish()
