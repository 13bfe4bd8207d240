"""Predicted profiles scored against real ones: a row a perturbation, a column a metric.

frame = compute_metrics(real_profiles(index, labels), predicted_profiles(index, deltas, labels))
means = summarise(frame)
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vccapp.errors import SpecError
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.profiles import Profiles


def compute_metrics(real: Profiles, predicted: Profiles, names: Sequence[str] | None = None) -> pd.DataFrame:
    """perturbation, n_degs (real ones; NaN where DE is not known) and one column a metric, NaN where undefined.

    Perturbations are compared with those of their own context.

    names : metrics; None takes all for which the two hold what they need. Rows are sorted by perturbation.
    Raises SpecError when the two have other genes or perturbations, or lack what a metric needs.
    """
    if real.labels != predicted.labels:
        differing = sorted(set(real.labels) ^ set(predicted.labels))
        raise SpecError(
            "perturbations_differ",
            f"Only one of the two has {', '.join(differing[:5])}",
            fix="score only the perturbations that both have",
        )
    if not np.array_equal(real.genes, predicted.genes):
        raise SpecError(
            "genes_differ",
            f"The {len(predicted.genes):,} predicted genes are not the {len(real.genes):,} real ones in the same order",
            fix="align them first",
        )
    metrics = [METRICS[name] for name in names] if names is not None else [m for _, m in METRICS.items()]
    known = [metric for metric in metrics if metric.is_known(real, predicted)]
    if names is not None and len(known) < len(metrics):
        missing = next(metric for metric in metrics if metric not in known)
        raise SpecError(
            "metric_needs_cells",
            f"The metric {missing.name} needs {missing.needs}, which these profiles do not have",
            fix="score files of cells instead",
        )
    table = real.de or real.pooled
    degs = np.full(len(real.labels), np.nan) if table is None else table.significant.sum(axis=1)
    columns = {metric.name: np.full(len(real.labels), np.nan) for metric in known}
    for (rows, own), (_, guess) in zip(real.contexts(), predicted.contexts(), strict=True):
        for metric in known:
            columns[metric.name][rows] = metric.compute(own, guess)
    return pd.DataFrame({"perturbation": real.labels, "n_degs": degs} | columns)


def list_pseudobulk_metrics() -> list[str]:
    """Metrics that every prediction has, because they need no predicted cells."""
    return [name for name, metric in METRICS.items() if metric.needs in ("means", "t_score")]


def summarise(frame: pd.DataFrame) -> dict[str, float | None]:
    """Mean of each metric over the perturbations that have it; None where none has."""
    means = frame.drop(columns=["perturbation", "n_degs"]).mean()
    return {name: float(value) if np.isfinite(value) else None for name, value in means.items()}
