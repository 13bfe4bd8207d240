"""The six metrics of the Virtual Cell Challenge 2026, equal to those of cell-eval2 0.20.0 (`--preset vcc2026`).

All effects and tests are against the real controls. A perturbation's own gene, the one of its name, counts in none.
"""

from functools import partial

import numpy as np

from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.metrics.cosine import rank_by_cosine
from vccapp.evaluation.metrics.errors import divide
from vccapp.evaluation.profiles import Profiles, known

metric_2026 = partial(metric, source="cell-eval2 0.20.0", needs="pooled", season="2026")

PURITY = 0.9
"""Share of right signs that direction_reach asks for."""
LEAST_GENES = 10
"""lfc_nmae is undefined for perturbations with fewer DEGs."""


@metric_2026(
    "pds_cosine",
    label="PDS (cosine)",
    best="high",
    range="0 to 1, 0.5 by chance",
    official="pds_cosine",
)
def pds_cosine(real: Profiles, predicted: Profiles) -> np.ndarray:
    return rank_by_cosine(real, known(real.pooled).effect, known(predicted.pooled).effect)


@metric_2026(
    "mse_capped",
    label="MSE, noise subtracted",
    best="low",
    range="0 is perfect, 1 is predicting the control",
    official="expr_mse_unbiased_capped_norm",
)
def mse_capped(real: Profiles, predicted: Profiles) -> np.ndarray:
    """Error of each perturbation over the mean squared real effect, so that the mean over perturbations is the metric.

    NaN where the real effects together do not exceed their noise.
    """
    scale = measure_distances(real).mean() if real.labels else np.nan
    return measure_errors(real, predicted) / (scale if scale > 0 else np.nan)


@metric_2026(
    "direction_fidelity",
    label="Direction fidelity yield",
    best="high",
    range="0 to 1",
    official="de_wilcoxon_direction_fidelity_yield_raw",
)
def direction_fidelity(real: Profiles, predicted: Profiles) -> np.ndarray:
    """Calls of the right sign over the number of calls or of real DEGs, whichever is larger; NaN where both are 0."""
    other = _other_genes(real)
    truth = known(real.pooled).significant & other
    calls = known(predicted.pooled).significant & other & (known(real.pooled).lfc != 0)
    right = calls & _same_sign(real, predicted)
    return divide(right.sum(axis=1), np.maximum(calls.sum(axis=1), truth.sum(axis=1)))


@metric_2026(
    "direction_reach",
    label="Direction reach",
    best="high",
    range="0 to 1",
    official="de_wilcoxon_direction_reach_raw",
)
def direction_reach(real: Profiles, predicted: Profiles) -> np.ndarray:
    """How deep the predicted ranking of the real DEGs goes with 0.9 of the signs right, as a share of all real DEGs.

    The deepest such point counts, also after a worse stretch. NaN without real DEGs.
    """
    truth = known(real.pooled).significant & _other_genes(real)
    right = _same_sign(real, predicted)
    name_order = np.argsort(np.argsort(real.genes, kind="stable"), kind="stable")
    guess, out = known(predicted.pooled), np.full(len(real.labels), np.nan)
    for row, genes in enumerate(map(np.flatnonzero, truth)):
        if not len(genes):
            continue
        keys = (name_order, -np.abs(guess.lfc[row]), guess.p_value[row], guess.fdr[row])
        ranked = genes[np.lexsort([key[genes] for key in keys])]
        ranked = ranked[known(real.pooled).lfc[row, ranked] != 0]
        depth = np.arange(1, len(ranked) + 1)
        pure = np.cumsum(right[row, ranked]) / depth >= PURITY
        out[row] = depth[pure].max(initial=0) / len(genes)
    return out


@metric_2026(
    "jaccard",
    label="Jaccard of DEGs",
    best="high",
    range="0 to 1",
    official="de_wilcoxon_sig_jaccard",
)
def jaccard(real: Profiles, predicted: Profiles) -> np.ndarray:
    """1 where neither has any DEG."""
    other = _other_genes(real)
    truth, calls = (known(profiles.pooled).significant & other for profiles in (real, predicted))
    union = (truth | calls).sum(axis=1)
    return np.where(union == 0, 1.0, (truth & calls).sum(axis=1) / np.maximum(union, 1))


@metric_2026(
    "lfc_nmae",
    label="LFC error, normalised",
    best="low",
    range="0 is perfect, 1 is no change predicted",
    official="de_wilcoxon_lfc_nmae",
)
def lfc_nmae(real: Profiles, predicted: Profiles) -> np.ndarray:
    """Over the real DEGs: sum of |predicted - real| log2 fold changes over that of |real|; NaN below LEAST_GENES."""
    truth = known(real.pooled).significant & _other_genes(real)
    error = np.where(truth, np.abs(known(predicted.pooled).lfc - known(real.pooled).lfc), 0).sum(axis=1)
    found = divide(error, np.where(truth, np.abs(known(real.pooled).lfc), 0).sum(axis=1))
    return np.where(truth.sum(axis=1) >= LEAST_GENES, found, np.nan)


def measure_errors(real: Profiles, predicted: Profiles) -> np.ndarray:
    """(n,) mean over genes of (predicted - real profile)^2, less what the noise of both adds to it.

    The prediction's noise counts no more than the real one's, and all of it together no more than what the predicted
    profiles differ among each other: cells whose noise cancels in the profile earn nothing.
    """
    truth, guess = known(real.pooled), known(predicted.pooled)
    other = _other_genes(real)
    weight = divide(np.ones(len(other)), other.sum(axis=1))
    noise = np.minimum(guess.noise, truth.noise)
    claim = np.nansum(noise * weight)
    if claim > 0:
        noise = noise * min(1.0, _spread(guess.profile, other, weight) / claim)
    square = np.square(guess.profile - truth.profile)
    return (np.where(other, square, 0).sum(axis=1) - noise - truth.noise) * weight


def measure_distances(real: Profiles) -> np.ndarray:
    """(n,) mean over genes of the squared real effect, less what noise adds to it; may be negative."""
    table, other = known(real.pooled), _other_genes(real)
    square = np.where(other, np.square(table.effect), 0).sum(axis=1)
    return divide(square - table.noise - table.control_noise, other.sum(axis=1))


def _spread(profile: np.ndarray, other: np.ndarray, weight: np.ndarray) -> float:
    """Weighted sum of squares of profiles around their weighted mean, over the genes that count in two rows or more."""
    weights = other * np.nan_to_num(weight)[:, None]
    deviation = profile - profile.mean(axis=0)
    once, twice, total = ((weights * deviation**power).sum(axis=0) for power in (1, 2, 0))
    several = (other.sum(axis=0) >= 2) & (total > 0)
    return float(np.maximum(twice[several] - once[several] ** 2 / total[several], 0).sum())


def _other_genes(real: Profiles) -> np.ndarray:
    """(n, n_genes) bool: not the perturbation's own gene."""
    return real.genes != np.array(real.labels, dtype=str)[:, None]


def _same_sign(real: Profiles, predicted: Profiles) -> np.ndarray:
    """(n, n_genes) bool; no change has no sign."""
    sign = np.sign(known(real.pooled).lfc)
    return (sign != 0) & (sign == np.sign(known(predicted.pooled).lfc))
