"""Errors of deltas relative to predicting no change at all."""

import numpy as np

from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.profiles import Profiles


@metric(
    "nmse",
    label="Normalised MSE",
    best="low",
    range="0 or more; 1 = no change predicted",
    source="MSE of deltas over the mean squared real delta, all genes",
)
def nmse(real: Profiles, predicted: Profiles) -> np.ndarray:
    """NaN for a perturbation without any real effect."""
    return divide(np.square(predicted.deltas - real.deltas).mean(axis=1), np.square(real.deltas).mean(axis=1))


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, NaN where b is zero."""
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b != 0)
