"""X stored by gene (CSC), read by cell.

A file of up to one block is turned around in memory. A larger one is once copied, sorted into buckets of cells, to an
unnamed temporary file, which the system removes when the reader is dropped, even if the process is killed: one pass
over the indices counts the values of each cell, one over X writes the copy (8 to 10 bytes a value), and each bucket is
then sorted in memory. That takes seven to twelve times the time of reading the file, whatever the number of blocks,
and half a gigabyte of memory (benchmarks/read.py). Later passes of the same reader read the copy.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from vccapp.data.matrices.rows import (
    SLAB_VALUES,
    Rows,
    assemble,
    canonical,
    check_range,
    cut,
    in_order,
    read_compressed,
)
from vccapp.data.resources import require_disk

BUCKET_VALUES = 2**23
BUCKET_CELLS = 2**16
"""Values and cells of one bucket at most (but for one cell of more values)."""


class CscRows(Rows):
    """X stored by gene. `stored_ends` : (genes + 1,) int64."""

    layout = "csc"

    def __init__(self, path: Path, *, ends: np.ndarray, **about: Any) -> None:
        super().__init__(path, **about)
        self._stored_ends = ends
        self._buckets: Buckets | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_buckets": None}

    @property
    def stored_ends(self) -> np.ndarray:
        return self._stored_ends

    @property
    def n_values(self) -> int:
        return int(self.stored_ends[-1])

    @cached_property
    def ends(self) -> np.ndarray:
        from vccapp.data.matrices.kernels import count_cells

        counts = np.zeros(self.shape[0], np.int64)
        for _, _, cells, _ in self._genes(values=False):
            count_cells(cells, counts)
        return np.concatenate([[0], np.cumsum(counts)])

    @property
    def record(self) -> np.dtype:
        """A value in a bucket: its cell, counted from the first of the bucket, and its gene."""
        gene = "u2" if self.shape[1] <= 2**16 else "u4"
        return np.dtype([("cell", "u2"), ("gene", gene), ("value", "f4")])

    @property
    def scratch_bytes(self) -> int:
        """Size of the temporary file that iterating takes; 0 where X is turned around in memory."""
        return self.n_values * self.record.itemsize if self.n_values > BUCKET_VALUES else 0

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        last = self.shape[0] if last is None else last
        if self.n_values <= min(max_values, BUCKET_VALUES):
            yield first, self.read_rows(np.arange(first, last))
            return
        if self._buckets is None:
            self._buckets = self._sort_into_buckets()
        for start, block in self._buckets.iter_blocks():
            low, high = np.clip([first - start, last - start], 0, block.shape[0]).tolist()
            for begin, end in cut(block.indptr[low : high + 1], max_values) if low < high else ():
                begin, end = low + begin, low + end
                yield start + begin, block if end - begin == block.shape[0] else block[begin:end]

    def _genes(self, *, values: bool) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """All genes in order as (first gene, stop, their cells, their values, none of them unless asked for)."""
        from vccapp.data.matrices.chunks import Buffers, open_reader

        slabs = list(cut(self.stored_ends, BUCKET_VALUES))
        buffers = Buffers(max(int(self.stored_ends[stop] - self.stored_ends[start]) for start, stop in slabs))
        with self._open() as x, open_reader(x["data"]) as data, open_reader(x["indices"]) as i:
            index_type = "int32" if x["indices"].dtype.itemsize <= 4 else "int64"
            for start, stop in slabs:
                first, n = int(self.stored_ends[start]), int(self.stored_ends[stop] - self.stored_ends[start])
                cells, found = (
                    buffers.take(n, index_type),
                    buffers.take(n, "float32") if values else np.zeros(0, np.float32),
                )
                i.read(first, cells)
                check_range(cells, self.shape[0])
                if values:
                    data.read(first, found)
                yield start, stop, cells, found
                del cells, found

    def _sort_into_buckets(self) -> "Buckets":
        from vccapp.data.matrices.kernels import scatter

        require_disk(
            Path(tempfile.gettempdir()),
            self.n_values * self.record.itemsize,
            purpose=f"{self.path.name} is stored by gene (CSC); the temporary copy to read its cells from",
            fix="free some space, set TMPDIR to a larger disk, or write CSR",
        )
        first_cells = np.array([*(start for start, _ in self._cell_ranges()), self.shape[0]])
        bucket_of = np.repeat(np.arange(len(first_cells) - 1), np.diff(first_cells)).astype(np.int32)
        file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the buckets do)
        parts, written, sorted_values = [], 0, np.zeros(0, self.record)
        for start, stop, cells, values in self._genes(values=True):
            if len(sorted_values) < len(cells):
                sorted_values = np.empty(len(cells), self.record)
            records, ends = sorted_values[: len(cells)], np.zeros(len(first_cells), np.int64)
            pointers = self.stored_ends[start : stop + 1] - self.stored_ends[start]
            scatter(cells, values, pointers, start, bucket_of, first_cells, records, ends)
            file.write(records.data)
            parts.append(written + ends)
            written += len(cells)
        file.flush()
        return Buckets(file, np.array(parts), first_cells, self.ends, self.record, self.shape[1])

    def _cell_ranges(self) -> Iterator[tuple[int, int]]:
        for start, stop in cut(self.ends, BUCKET_VALUES):
            for first in range(start, stop, BUCKET_CELLS):
                yield first, min(first + BUCKET_CELLS, stop)

    def _collect(self, x: Any, wanted: np.ndarray) -> csr_matrix:
        """One pass over X that keeps the values of the wanted rows (sorted, distinct)."""
        place = np.full(self.shape[0], -1, np.int32)
        place[wanted] = np.arange(len(wanted))
        cells, values = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        counts = np.zeros(self.shape[1], np.int64)
        for start, stop in cut(self.stored_ends, SLAB_VALUES):
            part = slice(self.stored_ends[start], self.stored_ends[stop])
            rows = x["indices"][part]
            check_range(rows, self.shape[0])
            rows = place[rows]
            keep = rows >= 0
            if keep.any():
                cells.append(rows[keep])
                values.append(x["data"][part][keep].astype(np.float32, copy=False))
                kept = np.concatenate([[0], np.cumsum(keep)])
                counts[start:stop] = np.diff(kept[self.stored_ends[start : stop + 1] - self.stored_ends[start]])
        pointers = np.concatenate([[0], np.cumsum(counts)])
        by_gene = (np.concatenate(values), np.concatenate(cells), pointers)
        return canonical(csc_matrix(by_gene, shape=(len(wanted), self.shape[1])).tocsr())

    def read_rows(self, rows: Sequence[int] | np.ndarray, *, max_values: int = SLAB_VALUES) -> csr_matrix:
        rows, order = self._wanted(rows)
        with self._open() as x:
            return in_order(self._collect(x, rows), order)

    def sample(self) -> Iterator[tuple[int, int, csc_matrix]]:
        with self._open() as x:
            for start, stop in self._sample_ranges():
                yield 0, start, read_compressed(x, self.stored_ends, start, stop, width=self.shape[0]).T


@dataclass(frozen=True)
class Buckets:
    """The copy of X by cell. Each slab of genes that was read wrote one part to every bucket.

    parts : (slabs, buckets + 1) where, in records, each part begins and ends; cells : (buckets + 1,) first cell of each
    ends : (all cells + 1,) where each cell's values begin and end
    """

    file: BinaryIO
    parts: np.ndarray
    cells: np.ndarray
    ends: np.ndarray
    record: np.dtype
    n_genes: int

    def iter_blocks(self) -> Iterator[tuple[int, csr_matrix]]:
        """Every bucket as (first cell, canonical rows)."""
        from vccapp.data.matrices.chunks import Buffers
        from vccapp.data.matrices.kernels import sort_by_cell

        sizes = np.diff(self.ends[self.cells])
        buffers, gathered = Buffers(int(sizes.max())), np.empty(sizes.max(), self.record)
        for bucket, (start, stop) in enumerate(pairwise(self.cells.tolist())):
            records = self._gather(bucket, gathered[: sizes[bucket]])
            indices, values = (buffers.take(len(records), dtype) for dtype in ("int32", "float32"))
            pointers = self.ends[start : stop + 1] - self.ends[start]
            sort_by_cell(records, pointers[:-1].copy(), indices, values)
            yield start, assemble(values, indices, pointers, width=self.n_genes)
            del indices, values

    def _gather(self, bucket: int, out: np.ndarray) -> np.ndarray:
        place = 0
        for first, last in self.parts[:, bucket : bucket + 2].tolist():
            view = out[place : place + last - first].data.cast("B")
            if os.preadv(self.file.fileno(), [view], first * self.record.itemsize) != len(view):
                msg = "the temporary copy of X is incomplete"
                raise EOFError(msg)
            place += last - first
        return out
