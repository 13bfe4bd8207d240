"""Two predictions of the same: where one is closer to the real cells than the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.stats.pseudobulks import Pseudobulks


@dataclass(frozen=True)
class Difference:
    """scores : as `compare_scores` returns; no rows where one of the two has none. genes : as `compare_genes` does."""

    scores: pd.DataFrame
    genes: pd.DataFrame


def view_difference(comparison: Comparison, first: Prediction, second: Prediction, *, metric: str) -> Difference:
    """Where `first` is better than `second`: by perturbation and by gene."""
    scores = [comparison.scores(own.key, metric) for own in (first, second)]
    return Difference(
        compare_scores(*scores, metric=metric),
        compare_genes(comparison.index, first, second, labels=comparison.labels),
    )


def choose_pair(comparison: Comparison) -> tuple[Prediction, Prediction]:
    """What is compared where nothing is chosen: the first run, and the second or the floor."""
    return comparison.runs[0], comparison.runs[1] if len(comparison.runs) > 1 else comparison.floor


def compare_genes(index: Pseudobulks, first: Prediction, second: Prediction, *, labels: Sequence[str]) -> pd.DataFrame:
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
