"""Row blocks of X, or of a layer or obsm, read from disk as contiguous slices: CSR, CSC or dense, in HDF5 or zarr.

    rows = open_rows(path)      # vccapp.data.reading.matrix
    for start, block in rows.iter_rows(2**24): ...      # block : (some cells, genes) float32 CSR
    rows.read_rows([7, 3, 3])                           # in the order asked

A block is canonical: indices sorted, duplicates summed, explicit zeros dropped; `iter_stored` leaves that out, for
checks of the file itself. A reader keeps no file open and holds
the row pointers only, so it can be pickled to a worker. Arrays of a block that nothing refers to any more are used
again for a later one (see vccapp.data.matrices.chunks).

Cost: CSR and dense read every byte of X once, or half of them where only values are asked for. CSC knows where genes
are, not cells: see vccapp.data.matrices.csc.
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
from vccapp.data.stores.access import CLOSED, Access
from vccapp.data.stores.files import open_matrix, reading
from vccapp.errors import DataError

WHOLE_SAMPLE = 20_000_000  # stored values up to which a sample is all of X
SAMPLE_BLOCK = 2**16
SAMPLE_BLOCKS = (4, 64)  # fewer where the chunks that a block inflates are large
GAP_VALUES = 2**14  # reading so many values too many is cheaper than another call
SLAB_VALUES = 2**22


class Rows(ABC):
    """Reads rows of X of one file."""

    layout: ClassVar[Layout]

    def __init__(
        self, path: Path, *, matrix: str, shape: Sequence[int], dtype: str, chunk: int, access: Access = CLOSED
    ) -> None:
        self.path = path
        self.access = access
        self.matrix = matrix
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = dtype
        self.chunk = int(chunk)  # rows (dense) or values (sparse) that one read inflates at least

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        with reading(self.path), open_matrix(self.path, self.matrix, self.access) as x:
            yield x

    @property
    @abstractmethod
    def n_values(self) -> int:
        """Stored values; cells x genes where X is dense."""

    @property
    @abstractmethod
    def ends(self) -> np.ndarray:
        """(cells + 1,) int64, where the values of each row begin and end."""

    @property
    @abstractmethod
    def stored_ends(self) -> np.ndarray:
        """The same of what is stored in one piece; of genes in CSC."""

    @property
    def scratch_bytes(self) -> int:
        """Size of the temporary files that iterating takes."""
        return 0

    @property
    def inflated(self) -> int:
        """Values that the smallest read must inflate."""
        return self.chunk

    def _blocks(self, max_values: int, *, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
        """Ranges of the stored pieces first .. last - 1, in order, of at most `max_values` values or one piece."""
        for start, stop in cut(self.stored_ends[first : None if last is None else last + 1], max_values):
            yield first + start, first + stop

    @abstractmethod
    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        """The rows first .. last - 1 in order as (start row, block) of at most `max_values` values or one row."""

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """The same rows as (start row, values float32, (rows + 1,) int64 where each row's values begin and end).

        What `iter_rows` gives without genes; values may be zero or, where an index is repeated, in parts.
        """
        for start, block in self.iter_rows(max_values, first=first, last=last):
            yield start, block.data, block.indptr.astype(np.int64)

    def iter_stored(self, max_values: int) -> Iterator[tuple[int, csr_matrix]]:
        """All rows as `iter_rows` gives them; of CSR as they are stored, in the type of the file or one of the same
        values that scipy works with: explicit zeros, the order of the genes and repeated ones stay.
        """
        return self.iter_rows(max_values)

    @abstractmethod
    def read_rows(self, rows: Sequence[int] | np.ndarray, *, max_values: int = SLAB_VALUES) -> csr_matrix:
        """The rows in the order asked, repeats allowed: (len(rows), genes) float32. Raises IndexError outside X."""

    @abstractmethod
    def sample(self) -> Iterator[tuple[int, int, csr_matrix | csc_matrix]]:
        """Parts of X as (first cell, first gene, block): all of it when small, else evenly spread contiguous reads."""

    def _wanted(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(rows, dtype=np.int64).ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= self.shape[0]):
            msg = f"Rows {rows.min()} to {rows.max()} were asked of {self.shape[0]:,} cells."
            raise IndexError(msg)
        return np.unique(rows, return_inverse=True)

    def _sample_ranges(self) -> Iterator[tuple[int, int]]:
        if self.n_values <= WHOLE_SAMPLE:
            yield from self._blocks(SLAB_VALUES)
        else:
            yield from spread(self.stored_ends, block=SAMPLE_BLOCK, n=sample_blocks(self.inflated, *SAMPLE_BLOCKS))


class RowsByCell(Rows):
    """X stored cell after cell: any range of rows is one read."""

    @abstractmethod
    def _read(self, x: Any, start: int, stop: int) -> csr_matrix:
        """The rows start..stop."""

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        with self._open() as x:
            for start, stop in self._blocks(max_values, first=first, last=last):
                yield start, self._read(x, start, stop)

    def read_rows(self, rows: Sequence[int] | np.ndarray, *, max_values: int = SLAB_VALUES) -> csr_matrix:
        rows, order = self._wanted(rows)
        if len(rows) == 0:
            return csr_matrix((0, self.shape[1])).astype(np.float32)
        parts = []
        with self._open() as x:
            for run in self._runs(rows, max_values):
                block = self._read(x, int(run[0]), int(run[-1]) + 1)
                parts.append(block if block.shape[0] == len(run) else block[run - run[0]])
        return in_order(vstack(parts, format="csr") if len(parts) > 1 else parts[0], order)

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

    def sample(self) -> Iterator[tuple[int, int, csr_matrix]]:
        with self._open() as x:
            for start, stop in self._sample_ranges():
                yield start, 0, self._read(x, start, stop)


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


class CsrRows(RowsByCell):
    """X stored as CSR."""

    layout = "csr"

    def __init__(self, path: Path, *, ends: np.ndarray, **about: Any) -> None:
        super().__init__(path, **about)
        self._ends = ends

    @property
    def ends(self) -> np.ndarray:
        return self._ends

    @property
    def stored_ends(self) -> np.ndarray:
        return self._ends

    @property
    def n_values(self) -> int:
        return int(self.ends[-1])

    def _read(self, x: Any, start: int, stop: int) -> csr_matrix:
        return read_compressed(x, self.ends, start, stop, width=self.shape[1])

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        with reading(self.path):
            for start, values, indices, pointers in self._pieces(max_values, "float32", first=first, last=last):
                block = assemble(values, indices, pointers, width=self.shape[1])
                del values, indices
                yield start, block
                del block

    def iter_stored(self, max_values: int) -> Iterator[tuple[int, csr_matrix]]:
        stored = np.dtype(self.dtype)
        dtype = "float32" if stored in (np.bool_, np.float16) else stored.newbyteorder("=").str
        with reading(self.path):
            for start, values, indices, pointers in self._pieces(max_values, dtype):
                check_range(indices, self.shape[1])
                arrays = values, indices.astype(np.int32, copy=False), pointers.astype(np.int32)
                block = csr_matrix(arrays, shape=(len(pointers) - 1, self.shape[1]))
                del values, indices, arrays
                yield start, block
                del block

    def _pieces(
        self, max_values: int, dtype: str, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Stored values, indices and pointers of blocks of rows. Their arrays are used again once they are let go."""
        from vccapp.data.matrices.chunks import Buffers, open_reader

        ranges = list(self._blocks(max_values, first=first, last=last))
        buffers = Buffers(self._largest(ranges))
        with self._open() as x, open_reader(x["data"]) as data, open_reader(x["indices"]) as i:
            index_type = "int32" if x["indices"].dtype.itemsize <= 4 else "int64"
            for start, stop in ranges:
                place, n = int(self.ends[start]), int(self.ends[stop] - self.ends[start])
                values, indices = buffers.take(n, dtype), buffers.take(n, index_type)
                data.read(place, values)
                i.read(place, indices)
                yield start, values, indices, self.ends[start : stop + 1] - place
                del values, indices

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        from vccapp.data.matrices.chunks import Buffers, open_reader

        ranges = list(self._blocks(max_values, first=first, last=last))
        buffers = Buffers(self._largest(ranges))
        with self._open() as x, open_reader(x["data"]) as data:
            for start, stop in ranges:
                place = int(self.ends[start])
                values = buffers.take(int(self.ends[stop]) - place, "float32")
                data.read(place, values)
                yield start, values, self.ends[start : stop + 1] - place
                del values

    def _largest(self, ranges: list[tuple[int, int]]) -> int:
        return max((int(self.ends[stop] - self.ends[start]) for start, stop in ranges), default=0)


class DenseRows(RowsByCell):
    """X stored as an array of cells x genes."""

    layout = "dense"

    @cached_property
    def ends(self) -> np.ndarray:
        return np.arange(self.shape[0] + 1, dtype=np.int64) * self.shape[1]

    @property
    def stored_ends(self) -> np.ndarray:
        return self.ends

    @property
    def n_values(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def inflated(self) -> int:
        return self.chunk * self.shape[1]

    def _blocks(self, max_values: int, *, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
        """Whole chunks where they fit, so that none is inflated twice."""
        last = self.shape[0] if last is None else last
        step = max(max_values // max(self.shape[1], 1), 1)
        step = step - step % self.chunk if step >= self.chunk else step
        for start in range(first, last, step):
            yield start, min(start + step, last)

    def _read(self, x: Any, start: int, stop: int) -> csr_matrix:
        block = np.asarray(x[start:stop], dtype=np.float32)
        mask = block != 0
        indices = np.broadcast_to(np.arange(block.shape[1], dtype=np.int32), block.shape)[mask]
        indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
        return csr_matrix((block[mask], indices, indptr), shape=block.shape)


def read_compressed(x: Any, ends: np.ndarray, start: int, stop: int, *, width: int) -> csr_matrix:
    """Rows start..stop of a compressed matrix of `width` columns (for CSC: its genes as rows)."""
    first, last = int(ends[start]), int(ends[stop])
    indices = x["indices"][first:last]
    check_range(indices, width)
    values = x["data"][first:last].astype(np.float32, copy=False)
    pointers = (ends[start : stop + 1] - first).astype(np.int32)
    return canonical(csr_matrix((values, indices.astype(np.int32, copy=False), pointers), shape=(stop - start, width)))


def assemble(values: np.ndarray, indices: np.ndarray, pointers: np.ndarray, *, width: int) -> csr_matrix:
    """A canonical block of `width` columns around float32 values, checked in one compiled pass. Raises DataError."""
    from vccapp.data.matrices.kernels import CANONICAL, OUT_OF_RANGE, scan_rows

    found = scan_rows(values, indices, pointers, width)
    if found == OUT_OF_RANGE:
        check_range(indices, width)
    shape = (len(pointers) - 1, width)
    block = csr_matrix((values, indices.astype(np.int32, copy=False), pointers.astype(np.int32)), shape=shape)
    if found == CANONICAL:
        block.has_canonical_format = True
        return block
    return canonical(block)


def check_range(indices: np.ndarray, width: int) -> None:
    if len(indices) and (indices.min() < 0 or indices.max() >= width):
        wrong = int(indices.min() if indices.min() < 0 else indices.max())
        raise DataError(
            "x_damaged",
            f"a value of the matrix stands in column {wrong:,} of {width:,}, so it is damaged",
            found=wrong,
            fix="write the file again",
        )


def canonical(block: csr_matrix) -> csr_matrix:
    if not block.has_canonical_format:
        block.sum_duplicates()
    if (block.data == 0).any():
        block.eliminate_zeros()
    return block


def in_order(block: csr_matrix, order: np.ndarray) -> csr_matrix:
    return block if np.array_equal(order, np.arange(block.shape[0])) else block[order]
