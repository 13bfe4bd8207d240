"""Which of the real DEGs a prediction finds, when all it gives is a mean.

A predicted pseudobulk has no p-values. So its k strongest genes by |delta| are held against the k real DEGs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.significance import FDR
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.references import CHANCE
from vccapp.stats.pseudobulks import Pseudobulks


@dataclass(frozen=True)
class OverlapView:
    """by_source : perturbation, source, n_degs, shared, overlap, same_direction. means : source and its two means.

    by_perturbation : of one prediction, the most DEGs first
    cell_scores : of its predicted cells; None where they were not scored
    """

    by_source: pd.DataFrame
    means: pd.DataFrame
    by_perturbation: pd.DataFrame
    cell_scores: pd.DataFrame | None


def view_overlap(comparison: Comparison, shown: Prediction) -> OverlapView:
    """Real DEGs that predictions find; of `shown` by perturbation."""
    frame = comparison.keep(
        "overlap", lambda: compute_overlap(comparison.index, comparison.predictions, labels=comparison.labels)
    )
    own = frame[frame["source"] == shown.name].sort_values("n_degs", ascending=False, kind="stable")
    means = frame.groupby("source", sort=False)[["overlap", "same_direction"]].mean().reset_index()
    return OverlapView(frame, means, own.drop(columns="source"), comparison.read_cell_scores(shown.key))


def compute_overlap(index: Pseudobulks, predictions: Sequence[Prediction], *, labels: Sequence[str]) -> pd.DataFrame:
    """perturbation, source, n_degs, shared, overlap, same_direction: one row a perturbation and source.

    n_degs k : real genes with FDR < 0.05. shared : how many of them are among the k genes of largest |predicted delta|.
    overlap : their share, NaN without DEGs. same_direction : of those shared, the share whose real delta has the sign.
    Chance is k over the number of genes.
    """
    significant = np.asarray(index.array("de/fdr")[index.rows(list(labels))]) < np.float32(FDR)
    real = index.deltas(list(labels))
    n_degs = significant.sum(axis=1)
    n_genes = significant.shape[1]
    frames = [
        _frame(labels, own.name, n_degs, *_count_shared(significant, real, own.only(labels).deltas))
        for own in predictions
    ]
    frames.append(_frame(labels, CHANCE, n_degs, n_degs**2 / n_genes, np.full(len(labels), 0.5)))
    return pd.concat(frames, ignore_index=True)


def _count_shared(significant: np.ndarray, real: np.ndarray, deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) how many of the k DEGs are among the k genes of largest |delta|, and the share of these of the same sign."""
    shared = np.zeros(len(deltas))
    same = np.full(len(deltas), np.nan)
    for row, k in enumerate(significant.sum(axis=1)):
        top = np.argpartition(-np.abs(deltas[row]), k - 1)[:k] if k else np.zeros(0, int)
        own = top[significant[row, top]]
        # A constant prediction has no strongest genes: what is found among ties is chance. Nor has what is NaN.
        shared[row] = len(own) if np.ptp(deltas[row]) > 0 else np.nan
        same[row] = (np.sign(deltas[row, own]) == np.sign(real[row, own])).mean() if len(own) else np.nan
    return shared, same


def _frame(labels: Sequence[str], name: str, n_degs: np.ndarray, shared: np.ndarray, same: np.ndarray) -> pd.DataFrame:
    overlap = np.divide(shared, n_degs, out=np.full(len(labels), np.nan), where=n_degs > 0)
    same = np.where(np.isnan(overlap), np.nan, same)
    return pd.DataFrame(
        {
            "perturbation": list(labels),
            "source": name,
            "n_degs": n_degs,
            "shared": shared,
            "overlap": overlap,
            "same_direction": same,
        }
    )
