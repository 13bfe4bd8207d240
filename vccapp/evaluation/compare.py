"""Predicted against real pseudobulks of perturbations: frames to look at, and plain scores.

The scores are our own, made for a quick look at a run. They are not those of a challenge, which are computed by its
official scorer.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from vccapp.errors import SpecError
from vccapp.stats.index import Index

TOP = 50
"""Genes of largest |real delta| that the `_top` scores look at."""
SCORES = ("pearson_delta", "spearman_delta", "pearson_delta_top", "spearman_delta_top", "mae", "mse_delta")
COLUMNS = ("perturbation", "gene", "control", "real", "predicted", "real_delta", "predicted_delta")


class Summary(BaseModel):
    """Means of scores over perturbations; None where no perturbation has the score."""

    model_config = ConfigDict(frozen=True)

    n_perturbations: int
    pearson_delta: float | None
    spearman_delta: float | None
    pearson_delta_top: float | None
    spearman_delta_top: float | None
    mae: float | None
    mse_delta: float | None


def compute_comparison(
    index: Index, deltas: np.ndarray, *, perturbations: Sequence[str], genes: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a perturbation and gene, log1p units: columns `COLUMNS`.

    deltas : (perturbations, n_genes) predicted, all genes of the data in order. genes : those to keep; None keeps all.
    Raises SpecError for unknown genes or perturbations and for deltas of another shape.
    """
    _check_shape(index, deltas, perturbations)
    names = index.genes["gene"].tolist()
    kept = names if genes is None else list(genes)
    position = {gene: i for i, gene in enumerate(names)}
    unknown = [gene for gene in kept if gene not in position]
    if unknown:
        msg = f"The data have no gene {', '.join(unknown[:5])}; there are {len(names):,}, e.g. {', '.join(names[:3])}."
        raise SpecError(msg)
    at = [position[gene] for gene in kept]
    control = np.asarray(index.control_mean)[at]
    real_delta = index.deltas(list(perturbations))[:, at]
    predicted_delta = np.asarray(deltas)[:, at]
    n = len(perturbations)
    columns = (
        np.repeat(list(perturbations), len(at)),
        np.tile(kept, n),
        np.tile(control, n),
        (real_delta + control).ravel(),
        (predicted_delta + control).ravel(),
        real_delta.ravel(),
        predicted_delta.ravel(),
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def compute_scores(index: Index, deltas: np.ndarray, *, perturbations: Sequence[str]) -> pd.DataFrame:
    """One row a perturbation: perturbation, n_degs (of the real cells, FDR < 0.05) and `SCORES`.

    deltas : (perturbations, n_genes) predicted, log1p units. Correlations are over genes, of deltas; `_top` keeps the
    TOP genes of largest |real delta|. mae and mse_delta are the mean absolute and squared difference of log1p
    pseudobulks, which is that of their deltas. A correlation with a constant is NaN.
    Raises SpecError for unknown perturbations and for deltas of another shape.
    """
    _check_shape(index, deltas, perturbations)
    rows = []
    for label, row in zip(perturbations, deltas, strict=True):
        real, predicted = index.delta(label).astype(np.float64), np.asarray(row, dtype=np.float64)
        top = np.argpartition(-np.abs(real), min(TOP, len(real)) - 1)[:TOP]
        rows.append(
            {
                "pearson_delta": _pearson(real, predicted),
                "spearman_delta": _spearman(real, predicted),
                "pearson_delta_top": _pearson(real[top], predicted[top]),
                "spearman_delta_top": _spearman(real[top], predicted[top]),
                "mae": np.abs(predicted - real).mean(),
                "mse_delta": np.square(predicted - real).mean(),
            }
        )
    scores = pd.DataFrame(rows, columns=list(SCORES), dtype=np.float64)
    degs = index.perturbations.set_index("perturbation")["degs"].reindex(list(perturbations)).to_numpy()
    scores.insert(0, "n_degs", degs)
    scores.insert(0, "perturbation", list(perturbations))
    return scores


def summarise(scores: pd.DataFrame) -> Summary:
    """Means over perturbations of what `compute_scores` gives, leaving NaN out."""
    means = scores[list(SCORES)].mean()
    return Summary(
        n_perturbations=len(scores),
        **{name: float(value) if np.isfinite(value) else None for name, value in means.items()},
    )


def _check_shape(index: Index, deltas: np.ndarray, perturbations: Sequence[str]) -> None:
    wanted = (len(perturbations), len(index.genes))
    if deltas.shape != wanted:
        msg = f"Predicted deltas have shape {deltas.shape}, but {wanted} is needed: perturbations x genes of the data."
        raise SpecError(msg)


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """NaN when either is constant."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    # Plain sums: for vectors of this length BLAS spends its time on waking threads.
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(a), rankdata(b))
