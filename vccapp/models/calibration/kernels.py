"""The compiled inner loop of a calibration. Compiled code is cached beside this file."""

import numpy as np
from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def shape_rest(
    rest: np.ndarray,
    shared: np.ndarray,
    share: float,
    weights: np.ndarray,
    components: np.ndarray,
    factor: np.ndarray,
) -> np.ndarray:
    """(n, n_genes) float32: (rest - share * shared - weights @ components) * factor, in float64 until the end.

    rest, shared : (n, n_genes) float32; weights : (n, k) float64; components : (k, n_genes) float32; factor : of genes
    """
    n, n_genes = rest.shape
    out = np.empty((n, n_genes), np.float32)
    for row in prange(n):
        value = np.empty(n_genes)
        for g in range(n_genes):
            value[g] = rest[row, g] - share * shared[row, g]
        for k in range(len(components)):
            weight = weights[row, k]
            for g in range(n_genes):
                value[g] -= weight * components[k, g]
        for g in range(n_genes):
            out[row, g] = value[g] * factor[g]
    return out
