"""Whole cells of chosen genes, by row number: what training reads.

    matrix = open_cell_matrix(index, genes, memory_bytes=2 * 10**9)       # positions, see `stats.cells.variable`
    matrix.rows(cells)                              # (n, n_genes) float32 log1p of any cells

Made from the index's gene-major store, one block of cells after the other. Counts stay one byte each (what a byte does
not hold stands aside) until they are asked for; log1p input is float32. The matrix is in memory where it fits, else in
a memory-mapped file in the index, which later runs use again.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vccapp.data.atomic import write_file
from vccapp.data.lock import hold_lock
from vccapp.data.resources import require_disk
from vccapp.progress import Progress, silent
from vccapp.records import undamaged
from vccapp.stats.index import Index
from vccapp.stats.store import OVERFLOW, GeneStore


class CellMatrix:
    """Cells x genes. `genes` are the positions of its columns among the index's genes."""

    def __init__(
        self,
        genes: np.ndarray,
        stored: np.ndarray,
        *,
        scaling: np.ndarray | None = None,
        large: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.genes = genes
        self._stored = stored  # (n_cells, n_genes) uint8 counts, or float32 log1p values
        self._scaling = scaling  # (n_cells,) float32; None for log1p input
        self._keys, self._large = large or (np.zeros(0, np.int64), np.zeros(0, np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        return self._stored.shape

    def rows(self, cells: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """(n, n_genes) float32 log1p values of cells, within 1e-7, which may repeat; written to `out` where given."""
        scaling = None if self._scaling is None else self._scaling[cells]
        return self._gather(cells, scaling, out)

    def counts(self, cells: np.ndarray) -> np.ndarray:
        """(n, n_genes) float32 values as the data file has them: counts, or log1p values where it holds those."""
        return self._gather(cells, None if self._scaling is None else np.zeros(len(cells), np.float32), None)

    def _gather(self, cells: np.ndarray, scaling: np.ndarray | None, out: np.ndarray | None) -> np.ndarray:
        cells = np.asarray(cells)
        if scaling is None:
            return np.take(self._stored, cells, axis=0, out=out)
        counts = np.take(self._stored, cells, axis=0)
        logged = scaling > 0
        factor = np.divide(1, scaling, where=logged, out=np.ones_like(scaling))
        values = np.multiply(counts, factor[:, None], out=out)
        row, at = divmod(np.flatnonzero(counts == OVERFLOW), self.shape[1])  # far quicker than np.nonzero of two axes
        exact = self._large[np.searchsorted(self._keys, cells[row].astype(np.int64) * self.shape[1] + at)]
        values[row, at] = exact * factor[row]
        if logged.any():
            values += 1  # the logarithm of 1 + x is many times as quick as log1p, and as exact for counts
            np.log(values, out=values)
        return values


def matrix_bytes(index: Index, n_genes: int) -> int:
    """Size of a matrix of so many genes."""
    return int(index.meta["n_cells"]) * n_genes * (1 if index.meta["value_space"] == "counts" else 4)


def cells_memory(memory_bytes: int) -> int:
    """Of the memory that a fit may plan with, what its cells may take: a third, as weights and gradients take more."""
    return memory_bytes // 3


def open_cell_matrix(index: Index, genes: np.ndarray, *, memory_bytes: int, progress: Progress = silent) -> CellMatrix:
    """The cells of an index over `genes` (positions), in at most `memory_bytes` of memory, else mapped from a file.

    Raises ResourceError when it fits neither in memory nor on the disk.
    """
    genes = np.asarray(genes, np.int64)
    store = GeneStore(index.folder / "store")
    size = store.n_cells * len(genes) * store.dtype.itemsize
    if size <= memory_bytes:
        stored = np.empty((store.n_cells, len(genes)), store.dtype)
        _fill(stored, store, genes, progress)
    else:
        path = _write_file(index.folder / "cells", store, genes, progress)
        with undamaged(path, fix="delete it and train again"):
            stored = np.load(path, mmap_mode="r")
    if store.dtype != np.uint8:
        return CellMatrix(genes, stored)
    gene, cell, value = store.overflow(genes)
    keys = cell.astype(np.int64) * len(genes) + gene
    order = np.argsort(keys)
    return CellMatrix(
        genes,
        stored,
        scaling=np.asarray(index.array("scaling"), np.float32),
        large=(keys[order], value[order].astype(np.float32)),
    )


def _write_file(folder: Path, store: GeneStore, genes: np.ndarray, progress: Progress) -> Path:
    """The path of the file, written by the first of several processes that ask for it."""
    path = folder / f"{hashlib.sha256(genes.tobytes()).hexdigest()[:16]}.npy"
    folder.mkdir(exist_ok=True)
    with hold_lock(folder / "lock"):
        if not path.exists():
            _write_cells(path, store, genes, progress)
    return path


def _write_cells(path: Path, store: GeneStore, genes: np.ndarray, progress: Progress) -> None:
    require_disk(
        path.parent,
        store.n_cells * len(genes) * store.dtype.itemsize,
        purpose=f"A matrix of all cells and {len(genes):,} genes",
        fix="train on fewer genes or free some space",
    )
    with write_file(path) as beside, beside.open("wb") as file:
        shape = (store.n_cells, len(genes))
        np.lib.format.write_array_header_1_0(
            file, {"descr": np.lib.format.dtype_to_descr(store.dtype), "fortran_order": False, "shape": shape}
        )
        for first, part in _cell_major(store, genes):
            file.write(part.data.cast("B"))
            progress((first + len(part)) / store.n_cells, "Arranging the cells")


def _fill(stored: np.ndarray, store: GeneStore, genes: np.ndarray, progress: Progress) -> None:
    for first, part in _cell_major(store, genes):
        stored[first : first + len(part)] = part
        progress((first + len(part)) / store.n_cells, "Arranging the cells")


def _cell_major(store: GeneStore, genes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first cell, (width, n_genes)) of each block."""
    for first, block in store.read_blocks(genes):
        yield first, np.ascontiguousarray(block.T)
