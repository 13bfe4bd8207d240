"""Depth normalisation and log1p, the one definition of both.

A count x of a cell with total t becomes log1p(x / (t / target_sum)), target_sum being the median total over cells that
have any: scanpy's `normalize_total` and `log1p`, in float32. log1p input passes unchanged.
"""

import numpy as np
from scipy.sparse import csr_matrix


def compute_target_sum(totals: np.ndarray) -> float:
    """Median total over cells with a total above zero; 1 when there is none."""
    positive = totals[totals > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def compute_scaling(totals: np.ndarray, target_sum: float | np.ndarray) -> np.ndarray:
    """(n_cells,) float32 divisors; cells without UMIs are left alone (1)."""
    scaling = (totals / target_sum).astype(np.float32)
    scaling[scaling == 0] = 1
    return scaling


def log_values(values: np.ndarray, scaling: np.ndarray) -> np.ndarray:
    """log1p of depth-normalised `values`, float32, `scaling` broadcast against them; log1p input has scaling 0."""
    if not np.any(scaling):
        return np.broadcast_to(values, np.broadcast_shapes(values.shape, scaling.shape)).copy()
    logs = values / scaling
    return np.log1p(logs, out=logs)


def log_rows(block: csr_matrix, scaling: np.ndarray) -> csr_matrix:
    """Stored counts (n, n_genes) and `scaling` (n,) as log1p values, float32."""
    data = log_values(block.data.astype(np.float32, copy=False), np.repeat(scaling, np.diff(block.indptr)))
    return csr_matrix((data, block.indices, block.indptr), shape=block.shape)
