"""The cells of one or two files gene by gene, range of genes after range, so that memory stays bounded.

pool = pool_cells(open_cells(real), open_cells(predicted))
for first, last in pool.cut(memory_bytes=10**9):
    for genes, result in map_blocks(pool.read(first, last), work, first=first): ...
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import CONTROL
from vccapp.errors import DataError
from vccapp.stats.building.build import WRONG
from vccapp.stats.building.read_ahead import read_ahead

READ = 2**21
"""Stored values that are read at once."""
BLOCK = 2**18
"""Values that one thread works on at once, in float64: they stay in its cache."""
LEAST_PASSES = 2
"""Reading a file twice, half of the genes each time, takes half the memory and a twentieth more time."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Columns:
    """Stored values of some genes: of gene g the `values[ends[g] : ends[g + 1]]`, of the `cells`, in their order."""

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


def map_blocks(
    columns: Columns, work: Callable[[slice, Columns], Result], *, first: int
) -> Iterator[tuple[slice, Result]]:
    """(genes, what `work` makes of these genes and their columns), block after block; several at once, on threads.

    first : the gene of the first column
    """
    from numba import get_num_threads

    blocks = list(columns.blocks())
    genes = [slice(first + block.start, first + block.stop) for block in blocks]
    with ThreadPoolExecutor(get_num_threads()) as threads:
        yield from zip(genes, threads.map(work, genes, map(columns.__getitem__, blocks)), strict=True)


@dataclass(frozen=True)
class Cells:
    """A file that has been looked through once.

    labels : perturbations, sorted; groups : (n_cells,) int32, 0 the control, then labels; sizes : (1 + n,) int64 cells
    totals : (n_cells,) float64 sums of values; largest : value
    gene_counts : (2, n_genes) stored values of controls, and of the other cells
    """

    dataset: Dataset
    labels: tuple[str, ...]
    groups: np.ndarray
    sizes: np.ndarray
    totals: np.ndarray
    largest: float
    gene_counts: np.ndarray

    @property
    def is_counts(self) -> bool:
        return self.dataset.schema.value_space == "counts"


@dataclass(frozen=True)
class Pool:
    """Cells that are read together, one file after the other.

    groups : (n_cells,) int32, -1 for cells that are left out; sizes : (n_groups,) int64 cells
    totals : (n_cells,) float64; gene_counts : (n_genes,) stored values of the cells that are not left out
    value_type : the smallest that holds every value: uint16, or float32
    """

    datasets: tuple[Dataset, ...]
    groups: np.ndarray
    sizes: np.ndarray
    totals: np.ndarray
    gene_counts: np.ndarray
    value_type: np.dtype

    @property
    def cell_type(self) -> np.dtype:
        return np.dtype(np.uint16 if len(self.groups) <= 2**16 else np.int32)

    @property
    def value_bytes(self) -> int:
        return self.value_type.itemsize + self.cell_type.itemsize

    def cut(self, *, memory_bytes: int) -> list[tuple[int, int]]:
        """Even ranges of genes, LEAST_PASSES or as many as keep their columns within `memory_bytes`."""
        sizes = self.value_bytes * self.gene_counts
        ends = np.cumsum(sizes)
        even = ends[-1] // max(LEAST_PASSES, math.ceil(ends[-1] / memory_bytes)) + sizes.max()
        cuts = [0]
        while cuts[-1] < len(ends):
            before = ends[cuts[-1] - 1] if cuts[-1] else 0
            last = int(np.searchsorted(ends, before + min(even, memory_bytes), side="right"))
            cuts.append(max(last, cuts[-1] + 1))
        return list(zip(cuts[:-1], cuts[1:], strict=True))

    def read(self, first: int, last: int) -> Columns:
        """Genes `first .. last - 1`, in one pass over the files."""
        from numba import get_num_threads

        from vccapp.evaluation.scoring import kernels

        ends = np.concatenate([[0], np.cumsum(self.gene_counts[first:last])])
        place = np.zeros(len(self.gene_counts), np.int64)
        place[first:last] = ends[:-1]
        cells, values = np.empty(ends[-1], self.cell_type), np.empty(ends[-1], self.value_type)
        edges = first + np.searchsorted(ends, np.linspace(0, ends[-1], 2 * get_num_threads() + 1))
        before = 0
        for dataset in self.datasets:
            for start, block in read_ahead(dataset.iter_rows(max_values=READ)):
                groups = self.groups[before + start : before + start + block.shape[0]]
                kernels.turn(
                    block.data, block.indices, block.indptr, groups, before + start, edges, place, cells, values
                )
            before += dataset.n_cells
        return Columns(values, cells, ends)


def pool_cells(first: Cells, second: Cells | None = None) -> Pool:
    """The groups of the first file, then the perturbations of the second, without its controls."""
    files = (first,) if second is None else (first, second)
    groups, sizes, gene_counts = [first.groups], [first.sizes], first.gene_counts.sum(axis=0)
    if second is not None:
        groups.append(np.where(second.groups > 0, second.groups + np.int32(len(first.labels)), np.int32(-1)))
        sizes.append(second.sizes[1:])
        gene_counts = gene_counts + second.gene_counts[1]
    whole = all(cells.is_counts and cells.largest < 2**16 for cells in files)
    return Pool(
        datasets=tuple(cells.dataset for cells in files),
        groups=np.concatenate(groups),
        sizes=np.concatenate(sizes),
        totals=np.concatenate([cells.totals for cells in files]),
        gene_counts=gene_counts,
        value_type=np.dtype(np.uint16 if whole else np.float32),
    )


def open_cells(dataset: Dataset) -> Cells:
    """Look through a dataset. Raises DataError for values that are neither counts nor log1p, or not finite."""
    dataset.require_usable()
    names = dataset.cells["perturbation"].to_numpy(str)
    labels = tuple(sorted(set(names.tolist()) - {CONTROL}))
    known, member = np.unique(names, return_inverse=True)
    code = {label: number for number, label in enumerate((CONTROL, *labels))}
    groups = np.array([code[name] for name in known], np.int32)[member]
    sizes = np.bincount(groups, minlength=1 + len(labels)).astype(np.int64)
    return Cells(dataset, labels, groups, sizes, *_look_through(dataset, groups))


def _look_through(dataset: Dataset, groups: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """`totals`, `largest` and `gene_counts` of Cells. Raises DataError for a value that cannot be."""
    from vccapp.evaluation.scoring.kernels import count_genes
    from vccapp.stats.kernels import row_totals

    totals, largest, gene_counts = np.zeros(dataset.n_cells), 0.0, np.zeros((2, dataset.n_genes), np.int64)
    fractions = WRONG.index("fractions among the counts") if dataset.schema.value_space == "log1p" else None
    for start, block in read_ahead(dataset.iter_rows(max_values=READ)):
        found, wrong = row_totals(block.data, block.indptr, False)
        wrong[wrong == fractions] = 0
        if wrong.any():
            row = int(np.argmax(wrong > 0))
            raise DataError(
                "bad_values",
                f"{dataset.path.name} has {WRONG[wrong[row]]} in the cell of row {start + row:,}",
                fix="repair or remove such cells and score again",
            )
        rows = slice(start, start + block.shape[0])
        totals[rows] = found
        largest = max(largest, float(block.data.max(initial=0)))
        count_genes(block.indices, block.indptr, groups[rows], gene_counts)
    return totals, largest, gene_counts
