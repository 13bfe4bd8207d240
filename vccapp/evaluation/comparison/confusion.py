"""Which real perturbation each prediction lies nearest to, by the distances that PDS measures."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.data.schema import positions_of
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.evaluation.comparison.scores import compute_mean_scores
from vccapp.evaluation.profiles import Profiles, predicted_profiles, real_profiles
from vccapp.stats.views import correlate, order_alike

Distance = Literal["l1", "cosine"]
PDS: dict[Distance, str] = {"l1": "pds", "cosine": "pds_cosine_means"}
"""The metric of each distance."""


@dataclass(frozen=True)
class Confusion:
    """places : (n, n) int, place of each real perturbation (column) by nearness to each prediction (row), 0 first.

    order : (n,) an order in which real perturbations that act alike are neighbours
    frame : perturbation, place (of its own real one, from 1), pds, nearest (the real one in place 1)
    """

    places: np.ndarray
    order: np.ndarray
    frame: pd.DataFrame


@dataclass(frozen=True)
class ConfusionView:
    """labels : perturbations, those that act alike next to each other. places : (n, n), 0 for the nearest.

    matrix : prediction, then a column for each real perturbation: its place, from 1
    table : perturbation, place, pds, nearest; the furthest first. means : source and its mean PDS
    """

    labels: list[str]
    places: np.ndarray
    matrix: pd.DataFrame
    table: pd.DataFrame
    means: pd.DataFrame


def view_confusion(comparison: Comparison, shown: Prediction, *, distance: Distance = "l1") -> ConfusionView:
    """Which real perturbations the predictions of `shown` lie nearest to."""

    def compute() -> Confusion:
        predicted = predicted_profiles(comparison.index, shown.deltas, comparison.labels)
        return compute_confusion(real_profiles(comparison.index, comparison.labels), predicted, distance=distance)

    found = comparison.keep(("confusion", shown.key, distance), compute)
    labels = found.frame["perturbation"].to_numpy()[found.order].tolist()
    places = found.places[np.ix_(found.order, found.order)]
    matrix = pd.DataFrame(places + 1, columns=labels)
    matrix.insert(0, "prediction", labels)
    means = compute_mean_scores(comparison)[["source", PDS[distance]]].dropna()
    table = found.frame.sort_values("place", ascending=False, kind="stable")
    return ConfusionView(labels, places, matrix, table, means)


def compute_confusion(real: Profiles, predicted: Profiles, *, distance: Distance = "l1") -> Confusion:
    """Distances of deltas as PDS has them: 2025 "l1", own gene left out; 2026 "cosine", the genes of all left out.

    In the middle of ties each has the middle place of the tie, as in 2026; pds is 1 - rank / n (l1) or
    1 - rank / (n - 1) (cosine), rank from 0; NaN of one perturbation alone.
    """
    truth, guess = real.deltas, predicted.deltas
    apart = _manhattan(real, truth, guess) if distance == "l1" else _cosine(real, truth, guess)
    n = len(apart)
    near = np.argsort(apart, axis=1, kind="stable")
    places = np.empty((n, n), np.int64)
    np.put_along_axis(places, near, np.arange(n)[None].repeat(n, axis=0), axis=1)
    own = np.diagonal(apart)[:, None]
    rank = (apart < own).sum(axis=1) + ((apart == own).sum(axis=1) - 1) / 2
    size = n if distance == "l1" else n - 1
    labels = np.array(real.labels, dtype=object)
    frame = pd.DataFrame(
        {
            "perturbation": labels,
            "place": rank + 1,
            "pds": 1 - rank / size if n > 1 else np.full(n, np.nan),
            "nearest": labels[near[:, 0]] if n else labels,
        }
    )
    return Confusion(places, order_alike(correlate(truth)), frame)


def _manhattan(real: Profiles, truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    position = positions_of(real.genes)
    apart = cdist(guess, truth, "cityblock")
    for row, label in enumerate(real.labels):
        if label in position:
            own = position[label]
            apart[row] -= np.abs(guess[row, own] - truth[:, own])
    return apart


def _cosine(real: Profiles, truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    kept = ~np.isin(real.genes, real.labels)
    first, second = (_unit(effects[:, kept]) for effects in (guess, truth))
    return 1 - first @ second.T


def _unit(effects: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(effects, axis=1, keepdims=True)
    return np.divide(effects, norm, out=np.zeros_like(effects), where=norm > 0)
