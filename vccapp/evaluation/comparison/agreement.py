"""How far predicted and real values agree, gene by gene, and how far two measurements of the same would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from vccapp.evaluation.comparison.compare import COLUMNS, compute_comparison
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.evaluation.metrics.correlation import correlate
from vccapp.references import FULL_NAMES, PERFECT, REPEAT
from vccapp.stats.halves import correct_spearman_brown, correlate_halves, half_deltas, read_halves
from vccapp.stats.index import Index

Quantity = Literal["delta", "pseudobulk"]
BINS = 24
LEAST = 30
"""Values that a bin of the band holds at least."""
SHARE = 0.95


@dataclass(frozen=True)
class Agreement:
    """values : source, then `COLUMNS`. correlations : source, pearson_delta. band : value, spread; log1p units."""

    values: pd.DataFrame
    correlations: pd.DataFrame
    band: pd.DataFrame


def view_agreement(
    comparison: Comparison, *, perturbations: Sequence[str], genes: Sequence[str], quantity: Quantity = "delta"
) -> Agreement:
    """Of the runs and the floor, and of the limits where there are some."""
    index, beside = comparison.index, [*comparison.runs, comparison.floor]
    return Agreement(
        values=compare_predictions(index, beside, perturbations=perturbations, genes=genes),
        correlations=compute_correlations(index, beside, perturbations=perturbations, genes=genes),
        band=compute_band(index, perturbations, quantity=quantity),
    )


def compare_predictions(
    index: Index, predictions: Sequence[Prediction], *, perturbations: Sequence[str], genes: Sequence[str]
) -> pd.DataFrame:
    """`compute_comparison` of each prediction, one below the other, with its name in the first column, `source`."""
    frames = [
        compute_comparison(index, own.only(perturbations).deltas, perturbations=perturbations, genes=genes).assign(
            source=own.name
        )
        for own in predictions
    ]
    return pd.concat(frames, ignore_index=True)[["source", *COLUMNS]]


def compute_correlations(
    index: Index, predictions: Sequence[Prediction], *, perturbations: Sequence[str], genes: Sequence[str]
) -> pd.DataFrame:
    """source, pearson_delta: over these genes, mean over the perturbations; last repeat and perfect."""
    at = [index.gene_position[gene] for gene in genes]
    real = index.deltas(list(perturbations))[:, at]
    pairs = {own.name: (real, own.only(perturbations).deltas[:, at]) for own in predictions}
    found = [(name, correlate(*(deltas.astype(float) for deltas in pair))) for name, pair in pairs.items()]
    repeat = correct_spearman_brown(correlate_halves(*half_deltas(index, perturbations, np.array(at))))
    found += [(FULL_NAMES[REPEAT], repeat), (FULL_NAMES[PERFECT], np.sqrt(repeat))]
    means = [(name, float(r[np.isfinite(r)].mean()) if np.isfinite(r).any() else np.nan) for name, r in found]
    return pd.DataFrame(means, columns=["source", "pearson_delta"])


def compute_band(index: Index, perturbations: Sequence[str], *, quantity: Quantity = "delta") -> pd.DataFrame:
    """Where 95 % of the genes of a repeated experiment would lie: columns value, spread (log1p units).

    From the two halves of the cells: the spread is the 95 % quantile of |half A - half B| / sqrt(2) among genes of like
    value, over all genes. Half the cells have twice the variance of all, the difference of two halves four times that;
    the difference of two whole experiments has half of this.
    """
    first, second = half_deltas(index, perturbations)
    if quantity == "pseudobulk":
        first, second = read_halves(index, perturbations)
    apart = (np.abs(first - second) / np.sqrt(2)).ravel()
    value = ((first + second) / 2).ravel()
    known = np.isfinite(value)
    apart, value = apart[known], value[known]
    if not len(value):
        return pd.DataFrame(columns=["value", "spread"], dtype=float)
    edges = np.linspace(value.min(), value.max(), BINS + 1)
    place = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, BINS - 1)
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=BINS)
    rows: list[tuple[float, float]] = []
    start, waiting = 0, 0
    for stop, count in zip(np.cumsum(counts), counts, strict=True):
        waiting += count
        if waiting >= LEAST or (stop == len(value) and not rows):
            own = order[start:stop]
            rows.append((value[own].mean(), np.quantile(apart[own], SHARE)))
            start, waiting = stop, 0
    if start < len(value):  # too few for a bin of their own
        rows[-1] = (rows[-1][0], max(rows[-1][1], np.quantile(apart[order[start:]], SHARE)))
    band = pd.DataFrame(rows, columns=["value", "spread"])
    ends = pd.DataFrame({"value": [value.min(), value.max()], "spread": band["spread"].iloc[[0, -1]].to_numpy()})
    return pd.concat([ends.iloc[:1], band, ends.iloc[1:]], ignore_index=True)
