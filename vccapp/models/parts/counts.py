"""Predicted cells as whole counts: real control cells thinned and deepened, or negative binomial draws.

    profile = measure_controls(blocks)                                   # blocks of counts of all control cells
    share = profile.shares(control_mean, delta, target_sum=20_000)       # of a cell's counts, gene by gene
    cells = thin_cells(controls, Thinning.plan(profile, share, scale=1), stream=stream)
    cells = draw_cells(depths, share, profile.dispersion, stream=stream)

**From a prediction to counts.** A model predicts means of log1p values, and expm1 of a mean of logarithms is no mean of
counts. So a gene's rate is looked up on its own curve rate -> mean log1p of a negative binomial count with the
dispersion that the controls show: once at the mean of the controls, once at the predicted one. The quotient r is what
its counts are multiplied by; an unchanged gene has r = 1 exactly. With pi the controls' mean shares of a cell:

    E[count of gene g in a cell of depth L] = L * pi_g r_g / sum_h pi_h r_h

**Depth.** The depth of a new cell is that of its control times one factor, so the spread of depths is the controls'.
Without a wanted depth the factor is 1. What a prediction adds to some genes the others lose, as in a sequencer: only
where sum pi r = 1 does an unchanged gene keep its mean count.

**Thinning.** Where a gene is to have a share s <= 1 of its counts, each stays with probability s: that is what the cell
would have shown at a lower rate, whatever the distribution. Where s > 1 the cell is observed again: given its count x,
the rate is by Bayes w x + (1 - w) L pi in the mean, w = f m / (1 + f m) at dispersion f and mean m. The first part
becomes Poisson counts for each count that is there, the second negative binomial counts for genes by their share, with
as much dispersion as makes the variance that of a negative binomial count of mean s m. Kept: covariance and sparsity of
real cells, mean and variance of each gene. A gene that no control cell has is switched on by its predicted mean.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import gammaincinv, gammaln

from vccapp.errors import SpecError

MAX_RATIO = 1e3
"""Of the expression of a gene, predicted over control."""
AGAIN = 0.8
"""Share of its counts that a control cell keeps when it is used a second time, before it is deepened again."""
ABSENT = 1e-9
"""Counts of a gene in a cell, in the mean, below which it is absent from the controls."""
LEAST = 1e-9
"""Dispersions below this are Poisson."""
LOG_RATES = np.arange(-14.0, 14.0, 0.05)
DISPERSIONS = np.concatenate([[0.0], np.geomspace(1e-3, 10.0, 32)])
QUANTILES = (np.arange(256) + 0.5) / 256


@dataclass(frozen=True)
class Profile:
    """What the counts of control cells say. share, dispersion : (genes,) float64; depth : mean counts of a cell"""

    share: np.ndarray
    dispersion: np.ndarray
    depth: float
    n_cells: int

    def shares(self, control_mean: np.ndarray, deltas: np.ndarray, *, target_sum: float) -> np.ndarray:
        """(genes,) float64 shares of a cell's counts, not summing to 1, from means of log1p values.

        control_mean, deltas : (genes,) log1p units of counts brought to `target_sum`; an infinite or absent delta is
        the caller's to refuse
        """
        before = np.asarray(control_mean, np.float64)
        after = np.maximum(before + np.asarray(deltas, np.float64), 0)
        old, new = (self._rates(mean) for mean in (before, after))
        there = (self.share > 0) & (old > ABSENT)
        ratio = np.divide(new, old, out=np.ones_like(new), where=there)
        ratio[before == after] = 1
        return np.where(there, self.share * np.minimum(ratio, MAX_RATIO), np.maximum(self.share, new / target_sum))

    def _rates(self, means: np.ndarray) -> np.ndarray:
        from vccapp.models.parts.count_kernels import invert_means

        column = np.interp(self.dispersion, DISPERSIONS, np.arange(len(DISPERSIONS)))
        rates = np.empty(len(means))
        invert_means(means, column, mean_logs(), LOG_RATES[0], LOG_RATES[1] - LOG_RATES[0], rates)
        return rates


@lru_cache(maxsize=1)
def mean_logs() -> np.ndarray:
    """(LOG_RATES, DISPERSIONS) float64: mean of log1p of a negative binomial count."""
    grid = np.concatenate([[0.0], np.geomspace(1e-7, 1e8, 4000)])
    of_poisson = _mean_log_poisson(grid)
    rates = np.exp(LOG_RATES)
    table = np.empty((len(rates), len(DISPERSIONS)))
    for i, dispersion in enumerate(DISPERSIONS):
        if dispersion == 0:
            spread = np.ones(1)
        else:
            spread = gammaincinv(1 / dispersion, QUANTILES) * dispersion
            spread /= spread.mean()
        table[:, i] = np.interp(rates[:, None] * spread, grid, of_poisson).mean(axis=1)
    return table


def _mean_log_poisson(rates: np.ndarray) -> np.ndarray:
    """Mean of log1p of a Poisson count: summed up to a rate of 100, beyond by the first terms of its series."""
    means = np.log1p(rates) - rates / (2 * (1 + rates) ** 2) + rates * (2 - 9 * rates) / (12 * (1 + rates) ** 4)
    small = rates <= 100
    k = np.arange(1, 300)
    with np.errstate(divide="ignore"):
        chance = np.exp(k * np.log(rates[small])[:, None] - rates[small][:, None] - gammaln(k + 1))
    means[small] = chance @ np.log1p(k)
    return means


def measure_controls(blocks: Iterable[csr_matrix]) -> Profile:
    """Shares and dispersions of control cells. Raises SpecError where they hold no counts."""
    n_cells, depth, depth_squares = 0, 0.0, 0.0
    sums, squares, crossed = (np.zeros(1) for _ in range(3))
    for block in blocks:
        check_counts(block.data)
        values = block.astype(np.float64)
        totals = np.asarray(values.sum(axis=1)).ravel()
        sums = sums + values.T @ np.ones(len(totals))
        squares = squares + np.asarray(values.multiply(values).sum(axis=0)).ravel()
        crossed = crossed + values.T @ totals
        n_cells, depth = n_cells + len(totals), depth + float(totals.sum())
        depth_squares += float(totals @ totals)
    if depth == 0:
        raise SpecError("empty_controls", "The control cells hold no counts", fix="use a dataset with control cells")
    share = sums / depth
    # sum (x - t s)^2 = sum x^2 - 2 s sum t x + s^2 sum t^2, without a dense matrix
    residual = squares - 2 * share * crossed + share**2 * depth_squares
    dispersion = fit_dispersion(share, residual, depth=depth, depth_squares=depth_squares, n_cells=n_cells)
    return Profile(share, dispersion, depth / n_cells, n_cells)


def check_counts(values: np.ndarray) -> None:
    """SpecError for what is no counts."""
    if (values != np.floor(values)).any() or (len(values) and values.min() < 0):
        raise SpecError(
            "needs_counts",
            "The control cells hold fractions, so there are no counts to make cells from",
            fix="use a dataset of counts",
        )


def fit_dispersion(
    share: np.ndarray, residual: np.ndarray, *, depth: float, depth_squares: float, n_cells: int
) -> np.ndarray:
    """(genes,) dispersion of counts beyond Poisson, by moments, drawn to its trend over shares as far as it is noise.

    residual : sums of squares of counts around share * total; depth, depth_squares : sums over the cells of the totals
    and of their squares
    """
    raw = np.divide(residual - share * depth, share**2 * depth_squares, out=np.zeros_like(share), where=share > 0)
    known = share * depth > 50  # counts of a gene in all: fewer say nothing of its spread
    if known.sum() < 10:
        return np.clip(raw, 0, 10)
    order = np.argsort(share[known])
    trend = np.interp(share, share[known][order], _running_median(np.clip(raw[known][order], 0, 10)))
    mean = np.maximum(share * depth / n_cells, 1e-12)
    noise = 2 / n_cells * ((1 + mean * trend) / mean) ** 2  # of a moment estimate, nearly
    # The spread of true dispersions around the trend: what is left of the quartiles without that noise.
    apart = (np.abs(raw - trend)[known] / 0.6745) ** 2
    spread = max(float(np.median(apart - noise[known])), 0.0) + 1e-12
    weight = np.where(known, spread / (spread + noise), 0)
    return np.clip(trend + weight * (raw - trend), 0, 10)


def _running_median(values: np.ndarray) -> np.ndarray:
    width = max(5, len(values) // 20) | 1
    padded = np.pad(values, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


@dataclass(frozen=True)
class Thinning:
    """What becomes of counts, gene by gene; two tables: for a control cell used once, and for one used again."""

    keep: np.ndarray  # (2, genes) chance of a count to stay
    own: np.ndarray  # (2, genes) new counts for each that stayed
    filled: np.ndarray  # (2, genes) cumulated shares of genes among clusters of new counts
    rates: np.ndarray  # (2,) clusters for each count of the control cell
    cluster: np.ndarray  # (2, genes) parameter of the logarithmic sizes of clusters

    @classmethod
    def plan(cls, profile: Profile, share: np.ndarray, *, scale: float) -> "Thinning":
        """share : (genes,) of `Profile.shares`; scale : depth of a new cell over that of its control.

        Raises SpecError for shares that no cell can have.
        """
        share = np.asarray(share, np.float64)
        if not (np.isfinite(share).all() and (share >= 0).all() and share.sum() > 0 and np.isfinite(scale)):
            raise SpecError(
                "bad_ratios",
                f"Cells cannot be made: of {share.size:,} predicted expression values the least is "
                f"{np.nanmin(share, initial=np.inf):g} and {np.count_nonzero(~np.isfinite(share)):,} are not finite",
                fix="train the model again",
            )
        wanted = share / share.sum() * scale if (share != profile.share).any() else share * scale
        tables = [cls._table(profile, wanted, most) for most in (1.0, AGAIN)]
        return cls(*(np.stack(column) for column in zip(*tables, strict=True)))

    @staticmethod
    def _table(profile: Profile, wanted: np.ndarray, most: float) -> tuple[np.ndarray, ...]:
        """wanted : (genes,) counts for each count of the control cell; most : chance to stay, at most"""
        factor = np.divide(wanted, profile.share, out=np.zeros_like(wanted), where=profile.share > 0)
        keep = np.minimum(factor, most)
        grown = np.divide(factor, keep, out=np.ones_like(factor), where=keep > 0) - 1
        mean = keep * profile.share * profile.depth
        bound = profile.dispersion * mean
        own = grown * bound / (1 + bound)
        fill = np.where(profile.share > 0, grown * keep * profile.share / (1 + bound), wanted)
        # Negative binomial counts as clusters: Poisson in number, logarithmic in size.
        odds = profile.dispersion * (1 + bound) * fill * profile.depth
        clusters = np.where(odds > LEAST, fill * np.log1p(odds) / np.maximum(odds, LEAST), fill)
        sizes = np.where(odds > LEAST, odds / (1 + odds), 0)
        rate = clusters.sum()
        filled = np.cumsum(clusters) / rate if rate > 0 else np.ones_like(clusters)
        return keep, own, filled, rate, sizes


@dataclass(frozen=True)
class Counts:
    """Some control cells: CSR arrays of whole numbers, in whatever types hold them, and which of their rows are meant.

    ends : (rows + 1,) int64; totals : (rows,) float64; rows : (cells,) int64; used : (cells,) bool, whether another
    new cell is made from the same row before
    """

    data: np.ndarray
    indices: np.ndarray
    ends: np.ndarray
    totals: np.ndarray
    rows: np.ndarray
    used: np.ndarray
    n_genes: int


@dataclass(frozen=True)
class Stream:
    """Random numbers of some cells of one label. numbers : (cells,) int64, of the cells among all of the label"""

    seed: int
    label: str
    numbers: np.ndarray

    @property
    def key(self) -> np.uint64:
        words = np.random.SeedSequence([self.seed, zlib.crc32(self.label.encode())]).generate_state(1, np.uint64)
        return np.uint64(words[0])


def thin_cells(controls: Counts, thinning: Thinning, *, stream: Stream) -> csr_matrix:
    """(cells, genes) float32 csr, a new cell for each row of the controls that is meant."""
    from vccapp.models.parts.count_kernels import cell_keys, thin_rows

    values, indices = _make_room(len(controls.rows), controls.n_genes)
    ends = thin_rows(
        *(controls.data, controls.indices, controls.ends, controls.rows, controls.totals[controls.rows]),
        *(cell_keys(stream.key, stream.numbers), controls.used.astype(np.int8)),
        *(thinning.keep, thinning.own, thinning.filled, thinning.rates, thinning.cluster, values, indices),
    )
    return _pack(values, indices, ends, controls.n_genes)


def draw_cells(depths: np.ndarray, share: np.ndarray, dispersion: np.ndarray, *, stream: Stream) -> csr_matrix:
    """(cells, genes) float32 csr of negative binomial counts: mean depth * share, variance mean + dispersion * mean^2.

    depths : (cells,) expected counts of each; share : (genes,), made to sum to 1; dispersion : (genes,) 0 for Poisson
    """
    from vccapp.data.simulation.sampling import sample_cells

    n, n_genes = len(depths), len(share)
    shares = (share / share.sum()).astype(np.float32)[None]
    dispersion = np.maximum(dispersion, 1e-6).astype(np.float32)
    values, indices = _make_room(n, n_genes)
    ends = np.zeros(n + 1, np.int64)
    none, no_effect = np.zeros(n, np.int32), np.zeros((1, n_genes), np.float32)
    efficacy, written = np.zeros(n, np.float32), 0
    for first, last in _runs(stream.numbers):
        some = slice(first, last)
        own = np.empty(last - first, np.int64)
        sample_cells(
            *(stream.key, int(stream.numbers[first]), none[some], depths[some].astype(np.float32), none[some], shares),
            *(no_effect, efficacy[some], dispersion, indices[written:], values[written:], own),
        )
        ends[first + 1 : last + 1] = written + own
        written = int(ends[last])
    return _pack(values, indices, ends, n_genes)


def sign_cells(cells: csr_matrix) -> np.ndarray:
    """(cells,) uint64, the same for the same cells."""
    from vccapp.models.parts.count_kernels import hash_rows

    return hash_rows(cells.data, cells.indices, cells.indptr)


def _runs(numbers: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of consecutive numbers."""
    edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    return list(pairwise(edges)) if len(numbers) else []


def _make_room(n: int, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pages that nothing is written to take no memory."""
    return np.empty(n * n_genes, np.float32), np.empty(n * n_genes, np.int32)


def _pack(values: np.ndarray, indices: np.ndarray, ends: np.ndarray, n_genes: int) -> csr_matrix:
    arrays = values[: ends[-1]].copy(), indices[: ends[-1]].copy(), ends.astype(np.int32)
    cells = csr_matrix(arrays, shape=(len(ends) - 1, n_genes))
    cells.has_canonical_format = True
    return cells
