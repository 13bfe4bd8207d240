"""Predicted cells as whole counts: real control cells thinned and filled up, or negative binomial draws.

    blocks = thin_cells(controls, ratios, depth=20_000, seed=0)         # controls: blocks of csr counts
    blocks = draw_cells(profile, depths, dispersion=..., seed=0)

Thinning, the default, keeps what real cells have: covariance, sparsity, spread of depth. A gene whose expression falls
to a share r keeps each of its counts with probability r; one that rises gets Poisson counts on top, r - 1 times its
mean share of the cell's depth, so that a gene which a cell lacks can be switched on. Then each cell is thinned, or
filled up from its expected profile, to its depth. Every step is exact in the mean:

    E[count of gene g in a cell of depth L] = L * pi_g r_g / sum_h pi_h r_h        (pi: the controls' mean shares)

Both stream: a block of cells at a time, never more than a block densely.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.errors import SpecError

BLOCK_VALUES = 2**22
"""Dense values worked on at a time: 32 MB in float64."""
MAX_RATIO = 1e3
"""Of the expression of a gene, predicted over control."""


def ratios_of(control_mean: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Expression over that of the controls, on the scale of counts: (..., genes) float64 from log1p means and deltas.

    1 where the controls lack the gene and the prediction too; at most MAX_RATIO.
    """
    before = np.expm1(np.maximum(np.asarray(control_mean, np.float64), 0))
    after = np.expm1(np.maximum(control_mean + np.asarray(deltas, np.float64), 0))
    ratio = np.ones(np.broadcast_shapes(after.shape, before.shape))
    with np.errstate(over="ignore"):  # capped below
        np.divide(after, before, out=ratio, where=before > 0)
    return np.minimum(ratio, MAX_RATIO)


def thin_cells(
    controls: Iterable[csr_matrix], ratios: np.ndarray, *, share: np.ndarray, depth: float | None, seed: int
) -> Iterator[csr_matrix]:
    """Blocks of predicted counts, a cell for each control cell.

    controls : blocks of counts (n, genes); ratios : (genes,) predicted over control expression
    share : (genes,) the controls' mean share of each gene in a cell, summing to 1
    depth : median counts of a cell; None leaves each cell the depth that its control has
    Raises SpecError for counts that are not whole, or ratios that no cell can have.
    """
    ratios, share = np.asarray(ratios, np.float64), np.asarray(share, np.float64)
    if not (np.isfinite(ratios).all() and (ratios >= 0).all()) or ratios.shape != share.shape:
        raise SpecError(
            "bad_ratios",
            f"Cells cannot be made from {ratios.size:,} expression ratios for {share.size:,} genes, the least "
            f"of them {np.nanmin(ratios, initial=np.inf):g}",
            fix="each must be finite and not negative",
        )
    rng = np.random.default_rng(seed)
    wanted = share * ratios
    grown = wanted.sum()
    keep, extra = np.minimum(ratios, 1.0), share * np.maximum(ratios - 1, 0)
    scale: float | None = None
    for block in controls:
        totals = np.asarray(block.sum(axis=1), np.float64).ravel()
        if scale is None:
            scale = 1.0 if depth is None else depth / max(float(np.median(totals[totals > 0])), 1.0)
        counts = block.data.astype(np.int64)
        if (counts != block.data).any():
            raise SpecError(
                "needs_counts",
                "The control cells hold fractions, so there are no counts to thin",
                fix="use a dataset of counts",
            )
        # What a cell has after its genes fall and rise is `grown` times its depth; `fit` brings it to what is wanted.
        fit = scale / grown if grown > 0 else 0.0
        kept = rng.binomial(counts, keep[block.indices] * min(fit, 1.0))
        base = csr_matrix((kept, block.indices, block.indptr), shape=block.shape)
        added = extra * min(fit, 1.0) + wanted * max(fit - 1.0, 0.0)
        yield _with_added(base, totals, added, rng)


def draw_cells(profile: np.ndarray, depths: np.ndarray, *, dispersion: np.ndarray, seed: int) -> Iterator[csr_matrix]:
    """Blocks of negative binomial counts: mean depth * profile, variance mean + dispersion * mean squared.

    profile : (genes,) shares, made to sum to 1; depths : (cells,) counts of each cell
    dispersion : (genes,) 0 for Poisson
    """
    rng = np.random.default_rng(seed)
    profile = np.asarray(profile, np.float64) / np.sum(profile)
    shape = 1 / np.maximum(np.broadcast_to(dispersion, profile.shape), 1e-9)
    at_once = max(1, BLOCK_VALUES // len(profile))
    for first in range(0, len(depths), at_once):
        mean = np.asarray(depths[first : first + at_once], np.float64)[:, None] * profile
        rate = np.where(shape < 1e8, rng.gamma(shape, np.maximum(mean, 1e-300) / shape), mean)
        yield csr_matrix(rng.poisson(rate).astype(np.float32))


def fit_dispersion(controls: Iterable[csr_matrix], share: np.ndarray) -> np.ndarray:
    """(genes,) dispersion of counts beyond Poisson, by moments, shrunk half-way to its trend over mean shares.

    controls : blocks of counts; share : as in `thin_cells`
    """
    n, squares, depth, depth_squares = 0, np.zeros(len(share)), 0.0, 0.0
    for block in controls:
        totals = np.asarray(block.sum(axis=1), np.float64).ravel()
        residual = block.astype(np.float64)
        # sum (x - t s)^2 = sum x^2 - 2 s sum t x + s^2 sum t^2, without a dense matrix
        squares += np.asarray(residual.multiply(residual).sum(axis=0)).ravel()
        squares -= 2 * share * (residual.T @ totals)
        squares += share**2 * (totals @ totals)
        n, depth, depth_squares = n + len(totals), depth + float(totals.sum()), depth_squares + float(totals @ totals)
    expected = share**2 * depth_squares
    raw = np.divide(squares - share * depth, expected, out=np.zeros_like(share), where=expected > 0)
    raw = np.clip(raw, 0, 10)
    known = share * depth > 50  # counts of a gene in all: fewer say nothing of its spread
    if known.sum() < 10:
        return raw
    order = np.argsort(share[known])
    trend = np.interp(share, share[known][order], _running_median(raw[known][order]))
    return np.where(known, 0.5 * (raw + trend), trend)


def _running_median(values: np.ndarray) -> np.ndarray:
    width = max(5, len(values) // 20) | 1
    padded = np.pad(values, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def _with_added(base: csr_matrix, totals: np.ndarray, added: np.ndarray, rng: np.random.Generator) -> csr_matrix:
    """`base` plus Poisson counts of mean totals * added, drawn as a number a cell and then genes by their share."""
    n, n_genes = base.shape
    whole = added.sum()
    if whole > 0:
        numbers = rng.poisson(totals * whole)
        genes = np.searchsorted(np.cumsum(added) / whole, rng.random(int(numbers.sum())), side="right")
        rows = np.repeat(np.arange(n), numbers)
        more = csr_matrix((np.ones(len(genes)), (rows, np.minimum(genes, n_genes - 1))), shape=base.shape)
        base = base + more
    base = base.astype(np.float32)
    base.eliminate_zeros()
    base.sort_indices()
    return base
