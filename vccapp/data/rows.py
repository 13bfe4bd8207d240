"""Row blocks of X, read from disk as contiguous slices: CSR, CSC or dense, in HDF5 (.h5ad, .h5) or zarr (v2, v3).

    rows = open_rows(path)
    for start, block in rows.iter_rows(2**24): ...      # block : (some cells, genes) float32 CSR
    rows.read_rows([7, 3, 3])                           # in the order asked

A block is canonical: indices sorted, duplicates summed, explicit zeros dropped. A reader keeps no file open and holds
the row pointers only, so it can be pickled to a worker.

Cost: CSR and dense read every byte of X once. CSC knows where genes are, not cells: the first use streams the indices
to count the values of each cell, then each block streams all of X once more; convert a large CSC file to CSR instead.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, vstack

from vccapp.data.schema import Layout
from vccapp.errors import DataError, VccAppError

WHOLE_SAMPLE = 20_000_000  # stored values up to which a sample is all of X
SAMPLE_BLOCK = 2**16
SAMPLE_BLOCKS = (4, 64)  # fewer where the chunks that a block inflates are large
GAP_VALUES = 2**14  # reading so many values too many is cheaper than another call
SLAB_VALUES = 2**22


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the format libraries raise on a damaged file into a DataError of one sentence that names the file."""
    try:
        yield
    except DataError as error:
        text = str(error)
        raise DataError(text if text.startswith(path.name) else f"{path.name}: {text}") from error
    except (VccAppError, MemoryError):
        raise
    except PermissionError:
        msg = f"{path.name}: it may not be read by this user; change its permissions."
        raise DataError(msg) from None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        msg = f"{path.name}: it cannot be read, so it may be damaged or cut short ({reason}); copy it again."
        raise DataError(msg) from error


@contextlib.contextmanager
def open_store(path: Path) -> Iterator[Any]:
    """The root group of a file, read-only. Locks are taken where the file system has them."""
    if path.suffix == ".zarr":
        import zarr

        yield zarr.open_group(path, mode="r")
    else:
        import h5py

        with h5py.File(path, "r", locking="best-effort") as file:
            yield file


@contextlib.contextmanager
def open_x(path: Path) -> Iterator[Any]:
    """The array X, or where it is sparse its arrays by name, looked up once."""
    with open_store(path) as store:
        x = store["X"]
        yield x if hasattr(x, "shape") else {name: x[name] for name in ("data", "indices")}


def open_rows(path: Path) -> "Rows":
    """The reader of X in the file. Raises DataError when X is absent or does not hold together."""
    with reading(path), open_store(path) as store:
        if "X" not in store:
            layers = ", ".join(store["layers"]) if "layers" in store else ""
            found = f"but the layers {layers}" if layers else "and no layers"
            msg = f"it has no X, {found}; write the counts to X and save it again."
            raise DataError(msg)
        x = store["X"]
        if hasattr(x, "shape"):
            _check_numbers(x)
            if len(x.shape) != 2:
                msg = f"X has {len(x.shape)} dimensions, not cells x genes; write a matrix to X."
                raise DataError(msg)
            return DenseRows(path, shape=x.shape, dtype=str(x.dtype), chunk=(getattr(x, "chunks", None) or (1,))[0])
        return _open_sparse(path, x)


def _open_sparse(path: Path, x: Any) -> "Rows":
    kind = x.attrs.get("encoding-type", x.attrs.get("h5sparse_format"))
    kind = kind.decode() if isinstance(kind, bytes) else kind
    readers = {"csr_matrix": CsrRows, "csr": CsrRows, "csc_matrix": CscRows, "csc": CscRows}
    if kind not in readers:
        msg = f"X is stored as '{kind}', which is neither CSR, CSC nor dense; write it as one of these."
        raise DataError(msg)
    missing = [part for part in ("data", "indices", "indptr") if part not in x]
    if missing:
        msg = f"X lacks its {' and '.join(missing)} and is incomplete; write the file again."
        raise DataError(msg)
    _check_numbers(x["data"])
    shape = tuple(int(n) for n in x.attrs.get("shape", x.attrs.get("h5sparse_shape")))
    n_values, n_indices = x["data"].shape[0], x["indices"].shape[0]
    if n_values != n_indices:
        msg = f"X holds {n_values:,} values but {n_indices:,} indices and is damaged; write the file again."
        raise DataError(msg)
    ends = x["indptr"][:].astype(np.int64)
    major = shape[0] if readers[kind] is CsrRows else shape[1]
    if len(ends) != major + 1:
        msg = f"X has {len(ends):,} row pointers where {major + 1:,} are needed and is damaged; write the file again."
        raise DataError(msg)
    if ends[0] != 0 or ends[-1] != n_values or (np.diff(ends) < 0).any():
        msg = f"the row pointers of X do not rise from 0 to {n_values:,}, so it is damaged; write the file again."
        raise DataError(msg)
    chunk = (getattr(x["data"], "chunks", None) or (1,))[0]
    return readers[kind](path, shape=shape, dtype=str(x["data"].dtype), chunk=chunk, ends=ends)


def _check_numbers(array: Any) -> None:
    if getattr(array.dtype, "kind", "O") not in "buif":
        msg = f"X holds values of type {array.dtype}, not numbers; write counts or log1p values to X."
        raise DataError(msg)


class Rows(ABC):
    """Reads rows of X. `ends` : (cells + 1,) int64, where the values of each row begin and end."""

    layout: ClassVar[Layout]
    ends: np.ndarray

    def __init__(self, path: Path, *, shape: Sequence[int], dtype: str, chunk: int) -> None:
        self.path = path
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = dtype
        self.chunk = int(chunk)  # rows (dense) or values (sparse) that one read inflates at least

    @property
    @abstractmethod
    def n_values(self) -> int:
        """Stored values; cells x genes where X is dense."""

    @abstractmethod
    def _read(self, x: Any, start: int, stop: int) -> csr_matrix:
        """Rows start..stop."""

    def _blocks(self, max_values: int) -> Iterator[tuple[int, int]]:
        yield from cut(self.ends, max_values)

    def iter_rows(self, max_values: int) -> Iterator[tuple[int, csr_matrix]]:
        """All rows in order as (start row, block); a block holds at most `max_values` values or one row."""
        with reading(self.path), open_x(self.path) as x:
            for start, stop in self._blocks(max_values):
                yield start, self._read(x, start, stop)

    def read_rows(self, rows: Sequence[int] | np.ndarray, *, max_values: int = SLAB_VALUES) -> csr_matrix:
        """The rows in the order asked, repeats allowed: (len(rows), genes) float32. Raises IndexError outside X."""
        rows, order = self._wanted(rows)
        if len(rows) == 0:
            return csr_matrix((0, self.shape[1]), dtype=np.float32)
        parts = []
        with reading(self.path), open_x(self.path) as x:
            for run in self._runs(rows, max_values):
                block = self._read(x, int(run[0]), int(run[-1]) + 1)
                parts.append(block if block.shape[0] == len(run) else block[run - run[0]])
        return _in_order(vstack(parts, format="csr") if len(parts) > 1 else parts[0], order)

    def _wanted(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(rows, dtype=np.int64).ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= self.shape[0]):
            msg = f"Rows {rows.min()} to {rows.max()} were asked of {self.shape[0]:,} cells."
            raise IndexError(msg)
        return np.unique(rows, return_inverse=True)

    def _runs(self, rows: np.ndarray, max_values: int) -> Iterator[np.ndarray]:
        """Sorted rows in groups that one contiguous read serves."""
        first = 0
        for i in range(1, len(rows) + 1):
            if (
                i == len(rows)
                or self.ends[rows[i]] - self.ends[rows[i - 1] + 1] > GAP_VALUES
                or self.ends[rows[i] + 1] - self.ends[rows[first]] > max_values
            ):
                yield rows[first:i]
                first = i

    def sample(self) -> Iterator[tuple[int, int, csr_matrix | csc_matrix]]:
        """Parts of X as (first cell, first gene, block): all of it when small, else evenly spread contiguous reads."""
        with reading(self.path), open_x(self.path) as x:
            for start, stop in self._sample_ranges():
                yield start, 0, self._read(x, start, stop)

    def _sample_ranges(self) -> Iterator[tuple[int, int]]:
        if self.n_values <= WHOLE_SAMPLE:
            yield from self._blocks(SLAB_VALUES)
        else:
            yield from spread(self.ends, block=SAMPLE_BLOCK, n=sample_blocks(self.inflated, *SAMPLE_BLOCKS))

    @property
    def inflated(self) -> int:
        """Values that the smallest read must inflate."""
        return self.chunk


def sample_blocks(inflated: int, fewest: int, most: int) -> int:
    """How many spread blocks are read where each inflates `inflated` values."""
    return int(np.clip(WHOLE_SAMPLE // max(inflated, 1), fewest, most))


def cut(ends: np.ndarray, max_values: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, in order, each of at most `max_values` values or of one row."""
    start = 0
    while start < len(ends) - 1:
        stop = int(np.searchsorted(ends, ends[start] + max_values, side="right")) - 1
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def spread(ends: np.ndarray, *, block: int, n: int) -> Iterator[tuple[int, int]]:
    """At most `n` ranges of rows, evenly spread and each of at most `block` values or one row; both ends included."""
    last = min(int(np.searchsorted(ends, ends[-1] - block)), len(ends) - 2)
    starts = np.searchsorted(ends, np.linspace(0, ends[last], n - 1, endpoint=False))
    for start in np.unique([*starts, last]).tolist():
        stop = int(np.searchsorted(ends, ends[start] + block, side="right")) - 1
        yield start, max(stop, start + 1)


class CsrRows(Rows):
    """X stored by cell."""

    layout = "csr"

    def __init__(self, path: Path, *, shape: Sequence[int], dtype: str, chunk: int, ends: np.ndarray) -> None:
        super().__init__(path, shape=shape, dtype=dtype, chunk=chunk)
        self.ends = self.stored_ends = ends

    @property
    def n_values(self) -> int:
        return int(self.ends[-1])

    def _read(self, x: Any, start: int, stop: int) -> csr_matrix:
        return _read_compressed(x, self.ends, start, stop, width=self.shape[1])


class CscRows(Rows):
    """X stored by gene. `stored_ends` : (genes + 1,) int64."""

    layout = "csc"

    def __init__(self, path: Path, *, shape: Sequence[int], dtype: str, chunk: int, ends: np.ndarray) -> None:
        super().__init__(path, shape=shape, dtype=dtype, chunk=chunk)
        self.stored_ends = ends

    @property
    def n_values(self) -> int:
        return int(self.stored_ends[-1])

    @cached_property
    def ends(self) -> np.ndarray:
        counts = np.zeros(self.shape[0], np.int64)
        with reading(self.path), open_x(self.path) as x:
            for start, stop in self._slabs():
                cells = x["indices"][self.stored_ends[start] : self.stored_ends[stop]]
                _check_range(cells, self.shape[0])
                counts += np.bincount(cells, minlength=self.shape[0])
        return np.concatenate([[0], np.cumsum(counts)])

    def _slabs(self) -> Iterator[tuple[int, int]]:
        yield from cut(self.stored_ends, SLAB_VALUES)

    def _read(self, x: Any, start: int, stop: int) -> csr_matrix:
        return self._collect(x, np.arange(start, stop))

    def _collect(self, x: Any, wanted: np.ndarray) -> csr_matrix:
        """One pass over X that keeps the values of the wanted rows (sorted, distinct)."""
        place = np.full(self.shape[0], -1, np.int32)
        place[wanted] = np.arange(len(wanted))
        cells, values = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        counts = np.zeros(self.shape[1], np.int64)
        for start, stop in self._slabs():
            part = slice(self.stored_ends[start], self.stored_ends[stop])
            rows = x["indices"][part]
            _check_range(rows, self.shape[0])
            rows = place[rows]
            keep = rows >= 0
            if keep.any():
                cells.append(rows[keep])
                values.append(x["data"][part][keep].astype(np.float32, copy=False))
                kept = np.concatenate([[0], np.cumsum(keep)])
                counts[start:stop] = np.diff(kept[self.stored_ends[start : stop + 1] - self.stored_ends[start]])
        pointers = np.concatenate([[0], np.cumsum(counts)])
        by_gene = (np.concatenate(values), np.concatenate(cells), pointers)
        return _canonical(csc_matrix(by_gene, shape=(len(wanted), self.shape[1])).tocsr())

    def read_rows(self, rows: Sequence[int] | np.ndarray, *, max_values: int = SLAB_VALUES) -> csr_matrix:
        rows, order = self._wanted(rows)
        with reading(self.path), open_x(self.path) as x:
            return _in_order(self._collect(x, rows), order)

    def sample(self) -> Iterator[tuple[int, int, csr_matrix | csc_matrix]]:
        if self.n_values <= WHOLE_SAMPLE:
            ranges = self._slabs()
        else:
            ranges = spread(self.stored_ends, block=SAMPLE_BLOCK, n=sample_blocks(self.inflated, *SAMPLE_BLOCKS))
        with reading(self.path), open_x(self.path) as x:
            for start, stop in ranges:
                yield 0, start, _read_compressed(x, self.stored_ends, start, stop, width=self.shape[0]).T


class DenseRows(Rows):
    """X stored as an array of cells x genes."""

    layout = "dense"

    @cached_property
    def ends(self) -> np.ndarray:
        return np.arange(self.shape[0] + 1, dtype=np.int64) * self.shape[1]

    @property
    def n_values(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def inflated(self) -> int:
        return self.chunk * self.shape[1]

    def _blocks(self, max_values: int) -> Iterator[tuple[int, int]]:
        """Whole chunks where they fit, so that none is inflated twice."""
        step = max(max_values // max(self.shape[1], 1), 1)
        step = step - step % self.chunk if step >= self.chunk else step
        for start in range(0, self.shape[0], step):
            yield start, min(start + step, self.shape[0])

    def _read(self, x: Any, start: int, stop: int) -> csr_matrix:
        block = np.asarray(x[start:stop], dtype=np.float32)
        mask = block != 0
        indices = np.broadcast_to(np.arange(block.shape[1], dtype=np.int32), block.shape)[mask]
        indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
        return csr_matrix((block[mask], indices, indptr), shape=block.shape)


def _read_compressed(x: Any, ends: np.ndarray, start: int, stop: int, *, width: int) -> csr_matrix:
    """Rows start..stop of a compressed matrix of `width` columns (for CSC: its genes as rows)."""
    first, last = int(ends[start]), int(ends[stop])
    indices = x["indices"][first:last]
    _check_range(indices, width)
    values = x["data"][first:last].astype(np.float32, copy=False)
    pointers = (ends[start : stop + 1] - first).astype(np.int32)
    return _canonical(csr_matrix((values, indices.astype(np.int32, copy=False), pointers), shape=(stop - start, width)))


def _check_range(indices: np.ndarray, width: int) -> None:
    if len(indices) and (indices.min() < 0 or indices.max() >= width):
        wrong = int(indices.min() if indices.min() < 0 else indices.max())
        msg = f"X points to column {wrong:,} of {width:,} and is damaged; write the file again."
        raise DataError(msg)


def _canonical(block: csr_matrix) -> csr_matrix:
    if not block.has_canonical_format:
        block.sum_duplicates()
    if (block.data == 0).any():
        block.eliminate_zeros()
    return block


def _in_order(block: csr_matrix, order: np.ndarray) -> csr_matrix:
    return block if np.array_equal(order, np.arange(block.shape[0])) else block[order]
