"""Compiled inner loops of scoring many settings. Compiled code is cached beside this file."""

import numpy as np
from numba import njit, prange

AT_ONCE = 256
"""Genes that are summed in float32 before they are added in float64: a block of them of all rows stays in the cache."""
ERROR = 2.0**-15
"""Of a distance summed so, at most, relative to it: AT_ONCE roundings of 2^-24, and as much for those of the values."""


@njit(parallel=True, nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def sum_distances(guess: np.ndarray, truth: np.ndarray, parts: int) -> np.ndarray:
    """(n, n) float64 sums of |guess[p] - truth[q]|, to ERROR; both (n, n_genes) float32. parts : of the genes"""
    n, n_genes = guess.shape
    out = np.zeros((parts, n, n))
    for part in prange(parts):
        stop, sums = n_genes * (part + 1) // parts, out[part]
        for first in range(n_genes * part // parts, stop, AT_ONCE):
            width = min(AT_ONCE, stop - first)
            for p in range(n):
                own = guess[p, first : first + width]
                for q in range(n):
                    other = truth[q, first : first + width]
                    total = np.float32(0)
                    for g in range(width):
                        total += np.float32(abs(own[g] - other[g]))
                    sums[p, q] += total
    return out.sum(axis=0)


@njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def sum_pair(guess: np.ndarray, truth: np.ndarray) -> float:
    """Sum of |guess - truth| of two (n_genes,) rows, in float64."""
    total = 0.0
    for g in range(len(guess)):
        total += np.abs(np.float64(guess[g]) - truth[g])
    return total


@njit(parallel=True, nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def sum_rows(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n, 4) float64 sums over genes of |guess - truth|, guess, guess^2 and guess * truth; truth float64."""
    n, n_genes = guess.shape
    out = np.empty((n, 4))
    for p in prange(n):
        error, plain, square, product = 0.0, 0.0, 0.0, 0.0
        for g in range(n_genes):
            x = np.float64(guess[p, g])
            error += np.abs(x - truth[p, g])
            plain += x
            square += x * x
            product += x * truth[p, g]
        out[p] = error, plain, square, product
    return out
