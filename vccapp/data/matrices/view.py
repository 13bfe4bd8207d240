"""Rows of a file as vccapp uses them: some of its cells, its genes, values as counts or natural log1p.

    rows = ViewedRows(open_rows(path), cells=kept, columns=genes.columns, transform=to_log1p(scale))

What the file holds beyond that is read past; the file is never written again. Cells are numbered among those kept.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from vccapp.data.matrices.rows import Rows, canonical
from vccapp.data.schema import Layout

Transform = Callable[[csr_matrix], csr_matrix]
"""Of whole cells, to values of the same places."""


class Reader(Protocol):
    """What a dataset asks of the reader of its X, be that of one file (`Rows`) or of several."""

    @property
    def scratch_bytes(self) -> int:
        """Size of the temporary files that iterating takes."""

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]: ...

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]: ...

    def read_rows(self, rows: Sequence[int] | np.ndarray) -> csr_matrix: ...


class KeptRows:
    """The reader of some cells of another, numbered among themselves. kept : (n,) rows of the other, ascending."""

    def __init__(self, rows: Reader, kept: np.ndarray) -> None:
        self.rows, self.kept = rows, kept

    @property
    def scratch_bytes(self) -> int:
        return self.rows.scratch_bytes

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        own = self.kept[first:last]
        if not len(own):
            return
        for start, block in self.rows.iter_rows(max_values, first=int(own[0]), last=int(own[-1]) + 1):
            low, high = np.searchsorted(own, [start, start + block.shape[0]]).tolist()
            if low < high:
                yield first + low, block[own[low:high] - start]

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        for start, block in self.iter_rows(max_values, first=first, last=last):
            yield start, block.data, block.indptr.astype(np.int64)

    def read_rows(self, rows: Sequence[int] | np.ndarray) -> csr_matrix:
        return self.rows.read_rows(self.kept[np.asarray(rows, np.int64)])


class MovedRows:
    """The reader of all cells of another, genes in another order. columns : (n_genes,) new place of each gene"""

    def __init__(self, rows: Reader, columns: np.ndarray) -> None:
        self.rows, self.columns = rows, columns

    @property
    def scratch_bytes(self) -> int:
        return self.rows.scratch_bytes

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        for start, block in self.rows.iter_rows(max_values, first=first, last=last):
            yield start, _move(block, self.columns, len(self.columns))

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        return self.rows.iter_values(max_values, first=first, last=last)

    def read_rows(self, rows: Sequence[int] | np.ndarray) -> csr_matrix:
        return _move(self.rows.read_rows(rows), self.columns, len(self.columns))


class ViewedRows:
    """The reader of a part of a file."""

    def __init__(
        self,
        rows: Rows,
        *,
        cells: np.ndarray | None,
        columns: np.ndarray | None,
        transform: Transform | None,
    ) -> None:
        """cells : rows of the file, ascending; columns : (columns of the file,) column of each, -1 to leave it out"""
        self.file = rows
        self.cells = cells
        self.columns = columns
        self.transform = transform
        n_genes = rows.shape[1] if columns is None else int(columns.max()) + 1
        self.shape = (rows.shape[0] if cells is None else len(cells), n_genes)
        self._kept: Reader = rows if cells is None else KeptRows(rows, cells)

    @property
    def is_plain(self) -> bool:
        """Whether it is all of the file, as it stands there."""
        return self.cells is None and self.columns is None and self.transform is None

    @property
    def matrix(self) -> str:
        return self.file.matrix

    @property
    def layout(self) -> Layout:
        return self.file.layout

    @property
    def scratch_bytes(self) -> int:
        return self.file.scratch_bytes

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        for start, block in self._kept.iter_rows(max_values, first=first, last=last):
            yield start, self._see(block)

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        if self.is_plain:
            yield from self.file.iter_values(max_values, first=first, last=last)
            return
        for start, block in self.iter_rows(max_values, first=first, last=last):
            yield start, block.data, block.indptr.astype(np.int64)

    def read_rows(self, rows: Sequence[int] | np.ndarray) -> csr_matrix:
        rows = np.asarray(rows, dtype=np.int64).ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= self.shape[0]):
            msg = f"Rows {rows.min()} to {rows.max()} were asked of {self.shape[0]:,} cells."
            raise IndexError(msg)
        return self._see(self._kept.read_rows(rows))

    def sample(self) -> Iterator[tuple[int, int, csr_matrix | csc_matrix]]:
        """Parts as (first cell, first gene, block), as `Rows.sample` gives them, of what is seen."""
        for first_cell, first_gene, block in self.file.sample():
            if self.cells is not None:
                inside = self.cells[(self.cells >= first_cell) & (self.cells < first_cell + block.shape[0])]
                first_cell, block = int(np.searchsorted(self.cells, first_cell)), block.tocsr()[inside - first_cell]
            if self.columns is None:
                yield first_cell, first_gene, block
            elif block.shape[1] == len(self.columns):
                yield first_cell, 0, self._choose(block.tocsr())
            else:
                yield from self._choose_part(first_cell, first_gene, block)

    def _choose_part(
        self, first_cell: int, first_gene: int, block: csr_matrix | csc_matrix
    ) -> Iterator[tuple[int, int, csr_matrix | csc_matrix]]:
        """Some genes of the file, as runs of genes that are seen."""
        part = np.asarray(self.columns)[first_gene : first_gene + block.shape[1]]
        for run in np.split(np.arange(len(part)), np.flatnonzero(np.diff(part) != 1) + 1):
            if part[run[0]] >= 0:
                yield first_cell, int(part[run[0]]), block[:, run]

    def _see(self, block: csr_matrix) -> csr_matrix:
        block = self._choose(block)
        return block if self.transform is None else self.transform(block)

    def _choose(self, block: csr_matrix) -> csr_matrix:
        return block if self.columns is None else _move(block, self.columns, self.shape[1])


def _move(block: csr_matrix, columns: np.ndarray, width: int) -> csr_matrix:
    """The values of each column at another one, summed where several go there; those of -1 are dropped."""
    to = columns[block.indices]
    use = to >= 0
    ends = np.concatenate([[0], np.cumsum(use)])[block.indptr]
    moved = csr_matrix((block.data[use], to[use], ends), shape=(block.shape[0], width))
    moved.sort_indices()
    return canonical(moved)
