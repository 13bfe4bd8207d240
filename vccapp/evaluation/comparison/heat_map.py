"""Deltas of perturbations and genes, real beside predicted, genes that act alike next to each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.evaluation.comparison.agreement import compare_predictions
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.stats.views import correlate, order_alike

MAX_COLUMNS = 40
"""Genes that a heat map has room for."""


@dataclass(frozen=True)
class HeatMap:
    """real, predicted : (perturbations, genes) deltas, log1p units. values : the same, a row each."""

    perturbations: list[str]
    genes: list[str]
    real: np.ndarray
    predicted: np.ndarray
    values: pd.DataFrame


def view_heat_map(
    comparison: Comparison, shown: Prediction, *, perturbations: Sequence[str], genes: Sequence[str]
) -> HeatMap:
    """Of the first MAX_COLUMNS genes."""
    index, labels, genes = comparison.index, list(perturbations), list(genes[:MAX_COLUMNS])
    at = [index.gene_position[gene] for gene in genes]
    real = index.deltas(labels)[:, at]
    order = order_alike(correlate(real.T))
    ordered = [genes[i] for i in order]
    return HeatMap(
        perturbations=labels,
        genes=ordered,
        real=real[:, order],
        predicted=shown.only(labels).deltas[:, at][:, order],
        values=compare_predictions(index, [shown], perturbations=labels, genes=ordered),
    )
