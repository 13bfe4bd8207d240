"""Predicted against real pseudobulks of perturbations, gene by gene: frames to look at. Scores are in `score`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vccapp.data.schema import positions_of
from vccapp.errors import SpecError
from vccapp.stats.pseudobulks import Pseudobulks

COLUMNS = ("perturbation", "gene", "control", "real", "predicted", "real_delta", "predicted_delta")


def compute_comparison(
    index: Pseudobulks, deltas: np.ndarray, *, perturbations: Sequence[str], genes: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a perturbation and gene, log1p units: columns `COLUMNS`.

    deltas : (perturbations, n_genes) predicted, all genes of the data in order. genes : those to keep; None keeps all.
    Raises SpecError for unknown genes or perturbations and for deltas of another shape.
    """
    _check_shape(index, deltas, perturbations)
    names = index.genes["gene"].tolist()
    kept = names if genes is None else list(genes)
    position = positions_of(names)
    unknown = [gene for gene in kept if gene not in position]
    if unknown:
        raise SpecError(
            "unknown_gene",
            f"The dataset has no gene {', '.join(unknown[:5])}",
            fix=f"there are {len(names):,}, e.g. {', '.join(names[:3])}",
        )
    at = [position[gene] for gene in kept]
    control = index.control_means(perturbations)[:, at]
    real_delta = index.deltas(list(perturbations))[:, at]
    predicted_delta = np.asarray(deltas)[:, at]
    n = len(perturbations)
    columns = (
        np.repeat(list(perturbations), len(at)),
        np.tile(kept, n),
        control.ravel(),
        (real_delta + control).ravel(),
        (predicted_delta + control).ravel(),
        real_delta.ravel(),
        predicted_delta.ravel(),
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _check_shape(index: Pseudobulks, deltas: np.ndarray, perturbations: Sequence[str]) -> None:
    wanted = (len(perturbations), len(index.genes))
    if deltas.shape != wanted:
        raise SpecError(
            "delta_shape",
            f"Predicted deltas have shape {deltas.shape}, but {wanted} is needed: perturbations x genes of the data",
        )
