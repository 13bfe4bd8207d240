"""The gene-major store: one gene over all cells in milliseconds.

`values.bin` holds blocks of cells one after the other, each block genes x cells: one byte a count, where 255
says that the count is in `overflow.npz`; or float32 where the data are no counts. `store.json` says which of the two,
and how wide a block is.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt
from scipy.sparse import csr_matrix

from vccapp.data.atomic import write_json
from vccapp.records import Format, read_record, undamaged

STORE = Format("gene store", fix="delete the index folder and build it again (vccapp data index PATH)")
BLOCK_CELLS = {"uint8": 8192, "float32": 2048}
OVERFLOW = 255


def block_width(n_cells: int, dtype: str) -> int:
    """Cells in each block of a store but the last."""
    return min(BLOCK_CELLS[dtype], max(n_cells, 1))


def gene_ranges(n_genes: int) -> np.ndarray:
    """Edges of the ranges of genes that threads take, two a thread."""
    from numba import get_num_threads

    return np.linspace(0, n_genes, min(2 * get_num_threads(), n_genes) + 1).astype(np.int64)


class StoreWriter:
    """Appends cells in order, from cell `first` on, which must begin a block; `close` returns the overflow.

    Several writers, also on several machines, may fill one store at once; `describe_store` makes it whole.
    """

    def __init__(self, folder: Path, *, n_cells: int, n_genes: int, dtype: str, first: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.n_genes, self.dtype = n_genes, dtype
        self._block = np.zeros((n_genes, block_width(n_cells, dtype)), dtype)
        # Never opened for reading too: an NFS client would then write whole pages, beyond the edge of this range.
        self._file = os.fdopen(os.open(folder / "values.bin", os.O_WRONLY | os.O_CREAT, 0o666), "wb")
        self._file.seek(first * n_genes * self._block.itemsize)
        self._filled = 0
        self._written = first
        self._overflow: list[np.ndarray] = []

    def add(self, rows: csr_matrix) -> None:
        """Append cells: stored values (n, n_genes), sorted indices."""
        from vccapp.stats import kernels

        limit = np.float32(OVERFLOW if self.dtype == "uint8" else np.inf)
        start = 0
        while start < rows.shape[0]:
            stop = min(rows.shape[0], start + self._block.shape[1] - self._filled)
            low, high = rows.indptr[start], rows.indptr[stop]
            indptr = rows.indptr[start : stop + 1] - low
            data, indices = rows.data[low:high], rows.indices[low:high]
            kernels.scatter(data, indices, indptr, self._filled, gene_ranges(self.n_genes), limit, self._block)
            if self.dtype == "uint8":
                large = np.flatnonzero(data >= OVERFLOW)
                if len(large):
                    cell = self._written + self._filled + np.searchsorted(indptr, large, side="right") - 1
                    self._overflow.append(
                        np.stack([indices[large].astype(np.int64), cell, data[large].astype(np.int64)])
                    )
            self._filled += stop - start
            start = stop
            if self._filled == self._block.shape[1]:
                self._flush()

    def _flush(self) -> None:
        if self._filled:
            self._file.write(np.ascontiguousarray(self._block[:, : self._filled]).data.cast("B"))
            self._written += self._filled
            self._block[:] = 0
            self._filled = 0

    def close(self) -> np.ndarray:
        """(3, n) int64: gene, cell and value of the counts that a byte does not hold."""
        self._flush()
        self._file.close()
        return np.concatenate([np.zeros((3, 0), np.int64), *self._overflow], axis=1)


def describe_store(folder: Path, overflow: Sequence[np.ndarray], *, n_cells: int, n_genes: int, dtype: str) -> None:
    """Write what makes the writers' cells a store: the overflow that each returned, and the shape."""
    large = np.concatenate(overflow, axis=1)
    large = large[:, np.lexsort((large[1], large[0]))]
    np.savez(folder / "overflow.npz", gene=large[0], cell=large[1], value=large[2])
    width = block_width(n_cells, dtype)
    meta = {"n_cells": n_cells, "n_genes": n_genes, "dtype": dtype, "width": width}
    write_json(folder / "store.json", STORE.stamp(meta))


class _Shape(BaseModel):
    """What store.json says."""

    model_config = ConfigDict(strict=True)

    n_cells: NonNegativeInt
    n_genes: PositiveInt
    width: PositiveInt
    dtype: Literal["uint8", "float32"]


class GeneStore:
    """Reads genes over all cells from a finished store."""

    def __init__(self, folder: Path) -> None:
        meta = read_record(folder / "store.json", STORE, _Shape.model_validate)
        self.n_cells, self.n_genes, self.width, self.dtype = (
            meta.n_cells,
            meta.n_genes,
            meta.width,
            np.dtype(meta.dtype),
        )
        self._path = folder / "values.bin"
        with undamaged(self._path, fix=STORE.fix):
            size, wanted = self._path.stat().st_size, self.n_cells * self.n_genes * self.dtype.itemsize
            if size != wanted:
                msg = f"it has {size:,} bytes, not {wanted:,}"
                raise ValueError(msg)
        with undamaged(folder / "overflow.npz", fix=STORE.fix), np.load(folder / "overflow.npz") as large:
            self._gene, self._cell, self._value = large["gene"], large["cell"], large["value"]

    def read(self, first: int, last: int | None = None) -> np.ndarray:
        """Stored values of genes `first .. last - 1`: (n, n_cells) float32."""
        last = first + 1 if last is None else last
        out = np.empty((last - first, self.n_cells), np.float32)
        size = self.dtype.itemsize
        with self._path.open("rb", buffering=0) as file:
            for start in range(0, self.n_cells, self.width):
                width = min(self.width, self.n_cells - start)
                file.seek((start * self.n_genes + first * width) * size)
                part = np.fromfile(file, self.dtype, (last - first) * width)
                out[:, start : start + width] = part.reshape(last - first, width)
        low, high = np.searchsorted(self._gene, [first, last])
        out[self._gene[low:high] - first, self._cell[low:high]] = self._value[low:high]
        return out

    def read_blocks(self, genes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Some genes, one block of cells after the other: its first cell, and (len(genes), width) as the file has them.

        In a store of bytes OVERFLOW stands for what `overflow` says.
        """
        for start in range(0, self.n_cells, self.width):
            shape = (self.n_genes, min(self.width, self.n_cells - start))
            # Mapped anew for each block: pages that were read stay with the process for as long as their map.
            at = start * self.n_genes * self.dtype.itemsize
            yield start, np.memmap(self._path, self.dtype, mode="r", offset=at, shape=shape)[genes]

    def overflow(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The counts of some genes that a byte does not hold: position in `genes`, cell, value."""
        position = np.full(self.n_genes, -1)
        position[genes] = np.arange(len(genes))
        held = position[self._gene]
        wanted = held >= 0
        return held[wanted], self._cell[wanted], self._value[wanted]
