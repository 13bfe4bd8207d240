"""Some real and predicted cells in one space, for metrics that compare cells: genes, or components of the real."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix, vstack

from vccapp.evaluation.profiles import Profiles
from vccapp.evaluation.scoring.columns import Cells
from vccapp.stats.normalise import compute_scaling, log_rows

FITTED_CELLS = 5000
"""Real cells that principal components are computed from, at most."""


@dataclass(frozen=True)
class CellSpace:
    """most_cells : real and predicted of each perturbation, drawn by `seed`; dimensions : components, 0 is all genes.

    Values are log1p; counts are first scaled to the median total of the real file's cells, for both.
    """

    most_cells: int = 500
    dimensions: int = 50
    seed: int = 0


def place_cells(
    pair: tuple[Profiles, Profiles], files: tuple[Cells, Cells], space: CellSpace
) -> tuple[Profiles, Profiles]:
    """Real and predicted profiles with `cells`, read from their files, one perturbation after the other."""
    target_sum = float(np.median(files[0].totals)) if files[0].is_counts else 1.0
    axes = _principal_axes(files[0], space, target_sum) if space.dimensions else None

    def place(profiles: Profiles, cells: Cells) -> Profiles:
        drawn = (_draw(cells, group, space, target_sum) for group in range(1, len(cells.sizes)))
        return replace(profiles, cells=tuple(block if axes is None else block @ axes for block in drawn))

    return place(pair[0], files[0]), place(pair[1], files[1])


def _draw(cells: Cells, group: int, space: CellSpace, target_sum: float) -> csr_matrix:
    """(at most most_cells, n_genes) log1p values of a group's cells."""
    rows = np.flatnonzero(cells.groups == group)
    if len(rows) > space.most_cells:
        rows = np.sort(np.random.default_rng([space.seed, group]).choice(rows, space.most_cells, replace=False))
    block = cells.dataset.read_rows(rows)
    return log_rows(block, compute_scaling(cells.totals[rows], target_sum)) if cells.is_counts else block


def _principal_axes(cells: Cells, space: CellSpace, target_sum: float) -> np.ndarray:
    """(n_genes, dimensions) float32, orthonormal, of at most FITTED_CELLS cells, the same share of every group."""
    from scipy.sparse.linalg import LinearOperator, svds

    share = max(1, FITTED_CELLS // len(cells.sizes))
    fewer = replace(space, most_cells=min(share, space.most_cells))
    sample = vstack([_draw(cells, group, fewer, target_sum) for group in range(len(cells.sizes))], format="csr")
    sample = sample.astype(np.float64)
    mean = np.asarray(sample.mean(axis=0)).ravel()
    dimensions = min(space.dimensions, min(sample.shape) - 1)
    centred = LinearOperator(
        sample.shape,
        dtype=np.float64,
        matvec=lambda v: sample @ v - mean @ v,
        rmatvec=lambda v: sample.T @ v - mean * v.sum(),
        matmat=lambda v: sample @ v - mean @ v,
        rmatmat=lambda v: sample.T @ v - np.outer(mean, v.sum(axis=0)),
    )
    start = np.random.default_rng(space.seed).normal(size=min(sample.shape))
    return svds(centred, k=dimensions, v0=start)[2][::-1].T.astype(np.float32)
