"""How well an effect is measured: two random halves of the cells against each other.

The cells of each perturbation, and the controls, were drawn into two halves when the index was built. What one half
says of the other is the noise ceiling, and gives the reliability of the whole.
"""

from collections.abc import Sequence

import numpy as np

from vccapp.stats.index import Pseudobulks


def half_deltas(
    index: Pseudobulks, labels: Sequence[str], genes: np.ndarray | slice = slice(None)
) -> tuple[np.ndarray, np.ndarray]:
    """Deltas of two halves of the cells, each against its half of the controls: (labels, genes) float32, log1p units.

    genes : positions, all without them. NaN where a half has no cell.
    """
    halves = index.array("half_mean")[:, [0, *index.rows(list(labels))]][:, :, genes].astype(np.float32)
    first, second = halves[:, 1:] - halves[:, :1]
    return first, second


def correlate_halves(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) Pearson correlation of the rows of two (n, k) arrays, in their precision; NaN where a row is constant."""
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        return np.einsum("ij,ij->i", first, second).astype(float) / lengths


def correct_spearman_brown(r: np.ndarray) -> np.ndarray:
    """2r / (1 + r): the reliability of all cells from the correlation of their halves; 0 where r is negative."""
    positive = np.clip(r, 0, 1)
    return 2 * positive / (1 + positive)
