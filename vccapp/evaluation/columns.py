"""The cells of a file gene by gene, range of genes after range, so that memory stays bounded.

cells = open_cells(dataset)
for first, last in cut_genes([cells], memory_bytes=10**9):
    columns = cells.read(first, last)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vccapp.data.dataset import Dataset
from vccapp.data.schema import CONTROL
from vccapp.errors import DataError
from vccapp.stats.build import WRONG
from vccapp.stats.plan import BLOCK_VALUES
from vccapp.stats.read_ahead import read_ahead

VALUE_BYTES = 8
BLOCK = 2**20
"""Values that are worked on at once, in float64."""


@dataclass(frozen=True)
class Columns:
    """Stored values of some genes: of gene g the `values[ends[g] : ends[g + 1]]`, float32, of rows `cells`, int32."""

    values: np.ndarray
    cells: np.ndarray
    ends: np.ndarray

    def __getitem__(self, genes: slice) -> "Columns":
        inside = slice(self.ends[genes.start], self.ends[genes.stop])
        ends = self.ends[genes.start : genes.stop + 1]
        return Columns(self.values[inside], self.cells[inside], ends - ends[0])

    def blocks(self) -> Iterator[slice]:
        """Ranges of genes of about BLOCK values."""
        first, n_genes = 0, len(self.ends) - 1
        while first < n_genes:
            last = int(np.searchsorted(self.ends, self.ends[first] + BLOCK, side="right")) - 1
            last = min(max(last, first + 1), n_genes)
            yield slice(first, last)
            first = last


@dataclass(frozen=True)
class Cells:
    """A file that has been looked through once.

    labels : perturbations, sorted; groups : (n_cells,) int32, 0 the control, then labels; sizes : (1 + n,) int64 cells
    totals : (n_cells,) float64 sums of values; gene_counts : (n_genes,) stored values
    """

    dataset: Dataset
    labels: tuple[str, ...]
    groups: np.ndarray
    sizes: np.ndarray
    totals: np.ndarray
    gene_counts: np.ndarray

    @property
    def is_counts(self) -> bool:
        return self.dataset.schema.value_space == "counts"

    def read(self, first: int, last: int) -> Columns:
        """Genes `first .. last - 1`, in one pass over the file."""
        from numba import get_num_threads

        from vccapp.evaluation import kernels

        ends = np.concatenate([[0], np.cumsum(self.gene_counts[first:last])])
        place = np.zeros(len(self.gene_counts), np.int64)
        place[first:last] = ends[:-1]
        cells, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float32)
        edges = np.linspace(first, last, 2 * get_num_threads() + 1).astype(np.int64)
        for start, block in read_ahead(self.dataset.iter_rows(max_values=BLOCK_VALUES)):
            kernels.turn(block.data, block.indices, block.indptr, start, edges, place, cells, values)
        return Columns(values, cells, ends)


def open_cells(dataset: Dataset) -> Cells:
    """Look through a dataset. Raises DataError for values that are neither counts nor log1p, or not finite."""
    dataset.require_usable()
    names = dataset.cells["perturbation"].to_numpy(str)
    labels = tuple(sorted(set(names.tolist()) - {CONTROL}))
    known, member = np.unique(names, return_inverse=True)
    code = {label: number for number, label in enumerate((CONTROL, *labels))}
    groups = np.array([code[name] for name in known], np.int32)[member]
    totals, gene_counts = _look_through(dataset)
    sizes = np.bincount(groups, minlength=1 + len(labels)).astype(np.int64)
    return Cells(dataset, labels, groups, sizes, totals, gene_counts)


def _look_through(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the values of each cell, and stored values of each gene. Raises DataError for a value that cannot be."""
    from vccapp.data.kernels import count_cells as count
    from vccapp.stats.kernels import row_totals

    totals, gene_counts = np.zeros(dataset.n_cells), np.zeros(dataset.n_genes, np.int64)
    fractions = WRONG.index("fractions among the counts") if dataset.schema.value_space == "log1p" else None
    for start, block in read_ahead(dataset.iter_rows(max_values=BLOCK_VALUES)):
        found, wrong = row_totals(block.data, block.indptr, False)
        wrong[wrong == fractions] = 0
        if wrong.any():
            row = int(np.argmax(wrong > 0))
            msg = (
                f"{dataset.path.name} has {WRONG[wrong[row]]} in the cell of row {start + row:,}; "
                "repair or drop such cells and score again."
            )
            raise DataError(msg)
        totals[start : start + block.shape[0]] = found
        count(block.indices, gene_counts)
    return totals, gene_counts


def cut_genes(sides: Sequence[Cells], *, memory_bytes: int) -> list[tuple[int, int]]:
    """Ranges of genes, as few as keep the columns of all sides together within `memory_bytes`."""
    ends = np.cumsum(VALUE_BYTES * sum(side.gene_counts for side in sides))
    cuts = [0]
    while cuts[-1] < len(ends):
        before = ends[cuts[-1] - 1] if cuts[-1] else 0
        last = int(np.searchsorted(ends, before + memory_bytes, side="right"))
        cuts.append(max(last, cuts[-1] + 1))
    return list(zip(cuts[:-1], cuts[1:], strict=True))
