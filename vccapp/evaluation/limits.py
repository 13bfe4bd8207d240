"""The two limits beside every prediction: what is perfect, and what a second experiment would get.

    tables = compute_limits(index, labels)            # {PERFECT: frame, REPEAT: frame}, as `compute_metrics` gives them

`perfect` is the score of the true means against these cells, `repeat` that of another experiment of as many cells of
each perturbation; both against the same controls, as predictions are. Two halves of the cells tell the correlation
and the error exactly: with a half-correlation h, perfect is sqrt(2h / (1 + h)) and repeat 2h / (1 + h); the error of
perfect is half of the difference of the halves, and that of repeat sqrt(2) times as much. The other metrics are those
of a twin of the data (`Twin`), in which the truth is known. DES and the overlap of DEGs have no limits: those of a twin
were above those of the truth in simulations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, genes_of, positions_of
from vccapp.data.significance import FDR
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.profiles import Profiles
from vccapp.evaluation.scoring.score import compute_metrics, list_pseudobulk_metrics
from vccapp.references import FLOORS, LIMITS, PERFECT, REPEAT
from vccapp.stats.halves import correct_spearman_brown, correlate_halves, half_deltas, have_halves
from vccapp.stats.pseudobulks import Pseudobulks

DRAWS = 4
"""Twins whose scores are averaged."""
LEAST = 3
"""Perturbations of a context below which their mean effect is not told from noise: then it counts as none."""
LOWEST = 1e-3
"""Of the control's value: a true mean is never zero."""


def compute_limits(
    index: Pseudobulks, labels: Sequence[str], names: Sequence[str] | None = None
) -> dict[str, pd.DataFrame]:
    """By PERFECT and REPEAT: perturbation, n_degs and metrics, all that need no predicted cells, or those named.

    Perturbations of one cell, which has no halves, are left out; with one control there are none.
    """
    wanted = list(list_pseudobulk_metrics() if names is None else names)
    kept = sorted(label for label, whole in zip(labels, have_halves(index, labels), strict=True) if whole)
    degs = (np.asarray(index.array("de/fdr")[index.rows(kept)]) < np.float32(FDR)).sum(axis=1).astype(float)
    exact = _from_halves(index, kept)
    drawn = [name for name in wanted if name not in exact[PERFECT]]
    twins = [_score_twin(index, kept, drawn, seed=seed) for seed in range(DRAWS)] if drawn and kept else []
    tables = {}
    for limit in LIMITS:
        frame = pd.DataFrame({"perturbation": kept, "n_degs": degs})
        for name in wanted:
            told = exact[limit].get(name)
            scores = [twin[limit][name].to_numpy(float) for twin in twins] if told is None else [told]
            frame[name] = pd.DataFrame(scores).mean().to_numpy() if scores else np.zeros(0)
        tables[limit] = frame
    return tables


def standard_error(values: pd.Series) -> float:
    """Of the mean over the perturbations that have a value; NaN for fewer than two."""
    return float(values.sem())


def drop_untold(means: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """Mean scores by source and metric, without limits that lie below the floor: there the halves agree too little."""
    kept = {name: dict(own) for name, own in means.items()}
    for limit in LIMITS:
        for metric in kept.get(limit, {}):
            if not is_told(kept, metric, limit):
                kept[limit][metric] = None
    return kept


def is_told(means: Mapping[str, Mapping[str, float | None]], metric: str, limit: str) -> bool:
    """Whether a limit is there and no worse than the floor, as far as the floor has the metric."""
    value, floor = means[limit].get(metric), means.get(FLOORS[-1], {}).get(metric)
    if value is None or metric not in METRICS:
        return value is not None
    return floor is None or (value >= floor if METRICS[metric].best == "high" else value <= floor)


def _from_halves(index: Pseudobulks, labels: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """What the halves tell exactly, by limit and metric."""
    first, second = (half.astype(np.float64) for half in half_deltas(index, labels))
    repeat = correct_spearman_brown(correlate_halves(first, second))
    error = np.abs(first - second).mean(axis=1) / 2
    return {
        PERFECT: {"pearson_delta": np.sqrt(repeat), "mae": error},
        REPEAT: {"pearson_delta": repeat, "mae": np.sqrt(2) * error},
    }


@dataclass(frozen=True)
class Twin:
    """What the data could be, were the truth known: true means, and two experiments that measure them.

    True effects are the measured ones, drawn to the mean effect of all perturbations until they vary as much as the
    measured ones do without their noise: by gene and by perturbation, the own target excepted. The noise of an
    experiment is the difference of two halves of the cells of another perturbation, brought to the variance that
    the perturbation's own cells have gene by gene; so genes keep their covariance.
    """

    labels: tuple[str, ...]
    truth: np.ndarray  # (n, n_genes) float64, mean log1p
    first: np.ndarray
    second: np.ndarray
    control: np.ndarray  # (n, n_genes) mean log1p of the controls
    variance: np.ndarray  # (n, n_genes) of a measured mean
    control_variance: np.ndarray


def draw_twin(index: Pseudobulks, labels: Sequence[str], *, seed: int) -> Twin:
    """A twin of these perturbations, which have halves; learnt from all of the data's that have."""
    rng = np.random.default_rng(seed)
    pool = [label for label, whole in zip(index.perturbed, have_halves(index, index.perturbed), strict=True) if whole]
    control, n_genes = index.control_means(labels).astype(np.float64), len(index.genes)
    truth, first, second, variance = (np.zeros((len(labels), n_genes)) for _ in range(4))
    for context in sorted({context_of(label) or "" for label in labels}):
        own = [label for label in pool if (context_of(label) or "") == context]
        row = positions_of(own)
        here = [i for i, label in enumerate(labels) if (context_of(label) or "") == context]
        at = [row[labels[i]] for i in here]
        noise_variance = _variance_of_means(index, own)
        half = half_deltas(index, own)
        scaled = np.sqrt(noise_variance)
        noise = np.divide((half[0] - half[1]) / 2, scaled, out=np.zeros_like(scaled), where=scaled > 0)
        truth[here] = np.maximum(_shrink(index, own, noise_variance)[at], LOWEST * control[here])
        variance[here] = noise_variance[at]
        for made in (first, second):
            made[here] = truth[here] + _deal(noise, at, rng) * scaled[at]
    controls = index.control_rows(labels)
    n_cells = index.perturbations["n_cells"].to_numpy(float)[controls]
    control_variance = index.array("variance")[controls] / (n_cells - 1)[:, None]
    return Twin(tuple(labels), truth, first, second, control, variance, control_variance)


def _variance_of_means(index: Pseudobulks, labels: Sequence[str]) -> np.ndarray:
    """(n, n_genes) float64 variance of each pseudobulk, from its cells."""
    rows = index.rows(labels)
    n_cells = index.perturbations["n_cells"].to_numpy(float)[rows]
    return index.array("variance")[rows].astype(np.float64) / (n_cells - 1)[:, None]


def _shrink(index: Pseudobulks, labels: Sequence[str], noise: np.ndarray) -> np.ndarray:
    """(n, n_genes) means that vary around their common one as the true ones do. noise : their variance by noise"""
    means, n = index.means(labels).astype(np.float64), len(labels)
    position = positions_of(index.genes["gene"])
    own = np.zeros(means.shape, bool)
    for row, label in enumerate(labels):
        own[row, [position[gene] for gene in genes_of(label) if gene in position]] = True
    centre = means.mean(axis=0) if n >= LEAST else index.control_means(labels)[0].astype(np.float64)
    apart = means - centre
    free = n / (n - 1) if n >= LEAST else 1.0
    signal = np.where(own, 0, free * apart**2 - noise)
    by_gene = signal.mean(axis=0)
    total = by_gene.sum()
    if total <= 0:
        strength = np.zeros_like(signal)
    else:
        positive = np.maximum(by_gene, 0)
        by_label = np.maximum(signal.sum(axis=1) / total, 0)
        strength = by_label[:, None] * positive * (total / positive.sum())
    share = np.divide(strength, strength + noise, out=np.zeros_like(noise), where=strength + noise > 0)
    return centre + np.where(own, 1, np.sqrt(share)) * apart


def _deal(noise: np.ndarray, at: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """(len(at), n_genes) of unit variance: the noise of another perturbation each, with a sign by chance."""
    if len(noise) < LEAST:
        return rng.normal(size=(len(at), noise.shape[1]))
    others = (np.asarray(at) + rng.integers(1, len(noise), len(at))) % len(noise)
    return noise[others] * rng.choice([-1.0, 1.0], (len(at), 1))


def _score_twin(
    index: Pseudobulks, labels: Sequence[str], names: Sequence[str], *, seed: int
) -> dict[str, pd.DataFrame]:
    """Scores of the true means and of the second experiment against the first."""
    twin = draw_twin(index, labels, seed=seed)
    genes = index.genes["gene"].to_numpy(str)
    error = np.sqrt(twin.variance + twin.control_variance)

    def profiles(means: np.ndarray) -> Profiles:
        t_score = np.divide(means - twin.control, error, out=np.zeros_like(error), where=error > 0)
        return Profiles(genes, twin.labels, means, twin.control, t_score=t_score)

    real = profiles(twin.first)
    return {
        PERFECT: compute_metrics(real, profiles(twin.truth), names),
        REPEAT: compute_metrics(real, profiles(twin.second), names),
    }
