"""What a model may ask while it trains: how well does it predict the perturbations of the split's val part?"""

from collections.abc import Callable

import numpy as np

from vccapp.data.splits.split import Split
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics, summarise
from vccapp.stats.pseudobulks import Pseudobulks

VALIDATION_METRICS = ("pearson_delta", "pds", "mae", "nmse")
"""All of pseudobulks: those that need predicted cells would take minutes."""
PREFIX = "val_"


def make_validation(index: Pseudobulks, split: Split) -> Callable[[np.ndarray], dict[str, float]] | None:
    """Deltas (n_val, n_genes) in the order of `split.val` -> {"val_pearson_delta": ...}; NaN where undefined.

    None when the split has no val part.
    """
    if not split.val:
        return None
    real = real_profiles(index, split.val)

    def validate(deltas: np.ndarray) -> dict[str, float]:
        means = summarise(compute_metrics(real, predicted_profiles(index, deltas, split.val), VALIDATION_METRICS))
        return {PREFIX + name: float("nan") if value is None else value for name, value in means.items()}

    return validate
