"""Energy distance between the predicted and the real cells of a perturbation, without bias by their number.

2 E|x - y| - E|x - x'| - E|y - y'| with Euclidean distances, x and x' two different real cells, y and y' two different
predicted ones. It is 0 in expectation for cells of one distribution, so an estimate may be a little below.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix, issparse

from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.profiles import Profiles, known

BLOCK_CELLS = 256
"""Real or predicted cells that are dense at once."""


@metric(
    "energy_distance",
    label="Energy distance of cells",
    unit="log1p",
    best="low",
    range="0 or more, approximately",
    source="Székely & Rizzo, doi:10.1016/j.jspi.2013.03.018; unbiased",
    needs="cells",
)
def energy_distance(real: Profiles, predicted: Profiles) -> np.ndarray:
    """In the space of `cells`. NaN where real or predicted has a single cell."""
    return np.array([measure_energy(x, y) for x, y in zip(known(real.cells), known(predicted.cells), strict=True)])


def measure_energy(x: np.ndarray | csr_matrix, y: np.ndarray | csr_matrix) -> float:
    """Energy distance of two sets of cells, (n, dimensions) and (m, dimensions); NaN where one has a single cell."""
    n, m = x.shape[0], y.shape[0]
    if n < 2 or m < 2:
        return np.nan
    between = _sum_distances(x, y) / (n * m)
    return 2 * between - _sum_distances(x, x) / (n * (n - 1)) - _sum_distances(y, y) / (m * (m - 1))


def _sum_distances(x: np.ndarray | csr_matrix, y: np.ndarray | csr_matrix) -> float:
    """Sum of the distances of all pairs, blocks of cells against blocks of cells."""
    from scipy.spatial.distance import cdist

    return float(sum(cdist(a, b).sum() for a in _blocks(x) for b in _blocks(y)))


def _blocks(cells: np.ndarray | csr_matrix) -> Iterator[np.ndarray]:
    parts = (cells[start : start + BLOCK_CELLS] for start in range(0, cells.shape[0], BLOCK_CELLS))
    return (part.toarray() if issparse(part) else part for part in parts)
