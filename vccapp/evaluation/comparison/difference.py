"""Two predictions of the same: where one is closer to the real cells than the other."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.stats.index import Index


def compare_genes(index: Index, first: Prediction, second: Prediction, *, labels: Sequence[str]) -> pd.DataFrame:
    """gene, first_error, second_error, difference: mean |predicted - real delta| over `labels` (log1p), all genes.

    difference : first minus second; below zero where the first is closer. Largest |difference| first.
    """
    real = index.deltas(list(labels))
    errors = [np.abs(own.only(labels).deltas - real).mean(axis=0) for own in (first, second)]
    frame = pd.DataFrame({"gene": index.genes["gene"], "first_error": errors[0], "second_error": errors[1]})
    frame["difference"] = frame["first_error"] - frame["second_error"]
    return frame.sort_values("difference", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def compare_scores(first: pd.DataFrame, second: pd.DataFrame, *, metric: str) -> pd.DataFrame:
    """perturbation, n_degs, first, second, difference (first minus second) of one metric, largest difference first.

    first, second : perturbation, n_degs and the metric. Perturbations without it in either are left out.
    """
    kept = ["perturbation", metric]
    frame = first[["perturbation", "n_degs", metric]].merge(second[kept], on="perturbation", suffixes=("", "_second"))
    frame = frame.rename(columns={metric: "first", f"{metric}_second": "second"})
    frame["difference"] = frame["first"] - frame["second"]
    frame = frame.dropna(subset="difference")
    return frame.sort_values("difference", ascending=False, kind="stable", ignore_index=True)
