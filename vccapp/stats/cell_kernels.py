"""Compiled inner loops of the cell-major matrix. Plain arrays; `gather` has no threads, as it runs beside torch."""

import math

import numpy as np
from numba import njit, prange

TILE = 64
FREQUENT = 32
"""Counts below are nearly all there are."""


@njit(parallel=True, cache=True, nogil=True)
def transpose(block, out):
    """out[cell, gene] = block[gene, cell], by tiles that stay in the cache."""
    n_genes, n_cells = block.shape
    for tile in prange((n_cells + TILE - 1) // TILE):
        low, high = tile * TILE, min(n_cells, (tile + 1) * TILE)
        for first in range(0, n_genes, TILE):
            for cell in range(low, high):
                for gene in range(first, min(n_genes, first + TILE)):
                    out[cell, gene] = block[gene, cell]


@njit(cache=True, nogil=True)
def gather(stored, rows, scaling, keys, large, out):
    """Values of some cells: out (n_rows, n_genes) float32.

    stored : (n_cells, n_genes) uint8, 255 where the count is in `large`, in the order of keys = cell * n_genes + gene
    scaling : (n_rows,) divisor of each row's counts before log1p; 0 gives the counts
    A logarithm is taken once a row and count; of the most frequent counts at once, so that the loop hardly branches.
    """
    n_genes = stored.shape[1]
    logs = np.empty(256, np.float32)
    for row in range(len(rows)):
        cell, scale = rows[row], np.float64(scaling[row])
        following = np.searchsorted(keys, np.int64(cell) * n_genes)  # where this cell's large counts begin
        logs[FREQUENT:] = -1
        for count in range(FREQUENT):
            logs[count] = count if scale == 0 else math.log1p(count / scale)
        for gene in range(n_genes):
            count = stored[cell, gene]
            value = logs[count]
            if value < 0:
                exact = np.float64(count)
                if count == 255:
                    exact = np.float64(large[following])
                    following += 1
                value = np.float32(exact if scale == 0 else math.log1p(exact / scale))
                if count < 255:
                    logs[count] = value
            out[row, gene] = value
