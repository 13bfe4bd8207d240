"""A metric: the share of genes that are predicted to move the way they do."""

import numpy as np

from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.profiles import Profiles


@metric("sign_share", label="Right signs", best="high", range="0 to 1, 0.5 by chance", source="vccapp-example")
def sign_share(real: Profiles, predicted: Profiles) -> np.ndarray:
    """Over the genes that move at all; NaN for a perturbation that moves none."""
    moved = real.deltas != 0
    right = moved & (np.sign(predicted.deltas) == np.sign(real.deltas))
    n_moved = moved.sum(axis=1)
    return np.where(n_moved > 0, right.sum(axis=1) / np.maximum(n_moved, 1), np.nan)
