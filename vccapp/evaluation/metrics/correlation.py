"""Correlations of predicted and real deltas, perturbation by perturbation. A constant has none: NaN."""

import numpy as np

from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.profiles import Profiles

RANGE = "-1 to 1"


@metric("pearson_delta", label="Pearson of deltas", best="high", range=RANGE, source="cell-eval pearson_delta")
def pearson_delta(real: Profiles, predicted: Profiles) -> np.ndarray:
    return correlate(real.deltas, predicted.deltas)


@metric("spearman_delta", label="Spearman of deltas", best="high", range=RANGE, source="Spearman 1904")
def spearman_delta(real: Profiles, predicted: Profiles) -> np.ndarray:
    return correlate(real.delta_ranks, predicted.delta_ranks)


@metric(
    "pearson_delta_top20",
    label="Pearson of deltas, top 20 genes",
    best="high",
    range=RANGE,
    source="GEARS, doi:10.1038/s41587-023-01905-6; genes by |real delta|",
)
def pearson_delta_top20(real: Profiles, predicted: Profiles) -> np.ndarray:
    return _pearson_top(real, predicted, count=20)


@metric(
    "pearson_delta_top50",
    label="Pearson of deltas, top 50 genes",
    best="high",
    range=RANGE,
    source="as for the top 20",
)
def pearson_delta_top50(real: Profiles, predicted: Profiles) -> np.ndarray:
    return _pearson_top(real, predicted, count=50)


def correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) Pearson correlations of the rows of two (n, k) arrays, NaN where a row is constant."""
    out = np.full(len(a), np.nan)
    if a.shape[1] < 2:
        return out
    constant = (a == a[:, :1]).all(axis=1) | (b == b[:, :1]).all(axis=1)
    a, b = a[~constant], b[~constant]
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    # Norms first: the product of two sums of squares could leave the range of a float.
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    out[~constant] = np.clip((a * b).sum(axis=1), -1, 1)
    return out


def _pearson_top(real: Profiles, predicted: Profiles, *, count: int) -> np.ndarray:
    """Over the `count` genes of largest |real delta|, significant or not."""
    top = find_largest(np.abs(real.deltas), count)
    return correlate(np.take_along_axis(real.deltas, top, axis=1), np.take_along_axis(predicted.deltas, top, axis=1))


def find_largest(sizes: np.ndarray, count: int) -> np.ndarray:
    """Columns of the `count` largest values in each row of (n, k), in no order; all where k is smaller."""
    if sizes.shape[1] <= count:
        return np.broadcast_to(np.arange(sizes.shape[1]), sizes.shape)
    return np.argpartition(-sizes, count - 1, axis=1)[:, :count]
