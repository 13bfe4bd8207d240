"""Single genes of one perturbation: means with intervals, and cells; control, real and predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.schema import control_of
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.models.anchor import anchor_cells
from vccapp.references import CONTROL_CELLS, REAL_CELLS
from vccapp.stats.index import Index

MAX_CONTROLS = 4000
"""Control cells that stand for all, taken at even steps; predicted cells are made from them."""
Z = 1.96
MAX_BARS, FIRST_CELLS, MAX_CELLS = 20, 4, 6
"""Genes whose means there is room for, and those whose cells are shown at first and at most."""


@dataclass(frozen=True)
class GenesView:
    """means : gene, source, mean, low, high. cells : gene, source, value. log1p units."""

    means: pd.DataFrame
    cells: pd.DataFrame


def view_genes(
    comparison: Comparison, *, perturbation: str, genes: Sequence[str], cells_of: Sequence[str] | None = None
) -> GenesView:
    """Means of the first MAX_BARS genes, and the cells of the genes `cells_of`, FIRST_CELLS of them without it."""
    index, shown = comparison.index, genes[:FIRST_CELLS] if cells_of is None else cells_of
    means = compute_gene_means(
        index, [*comparison.runs, comparison.floor], perturbation=perturbation, genes=genes[:MAX_BARS]
    )
    if not shown:
        return GenesView(means, pd.DataFrame(columns=["gene", "source", "value"]))
    stored = {
        own.key: comparison.keep(("cells", own.key, perturbation), partial(own.cells, perturbation))
        for own in comparison.runs
        if own.cells is not None
    }
    cells = sample_gene_cells(
        index,
        comparison.runs,
        {gene: index.gene_values(gene) for gene in shown},
        groups=comparison.keep("groups", lambda: index.cells["perturbation"]),
        perturbation=perturbation,
        stored=stored,
    )
    return GenesView(means, cells)


def compute_gene_means(
    index: Index, predictions: Sequence[Prediction], *, perturbation: str, genes: Sequence[str]
) -> pd.DataFrame:
    """gene, source, mean, low, high (log1p): `control`, `real`, then each prediction by name.

    low and high bound the 95 % interval of the mean of the cells, from their variance and number; NaN for a single
    cell, and for predictions, of which only the mean is known.
    """
    at = [index.gene_position[gene] for gene in genes]
    rows = index.rows([control_of(perturbation), perturbation])
    n_cells = index.perturbations["n_cells"].to_numpy()[rows]
    means = index.array("mean")[rows][:, at]
    spare = np.where(n_cells > 1, n_cells - 1, np.nan)
    errors = Z * np.sqrt(index.array("variance")[rows][:, at] / spare[:, None])
    frames = [
        pd.DataFrame({"gene": genes, "source": who, "mean": mean, "low": mean - error, "high": mean + error})
        for who, mean, error in zip((CONTROL_CELLS, REAL_CELLS), means, errors, strict=True)
    ]
    for own in predictions:
        predicted = means[0] + own.only([perturbation]).deltas[0][at]
        frames.append(
            pd.DataFrame({"gene": genes, "source": own.name, "mean": predicted, "low": np.nan, "high": np.nan})
        )
    return pd.concat(frames, ignore_index=True)


def sample_gene_cells(
    index: Index,
    predictions: Sequence[Prediction],
    values: dict[str, np.ndarray],
    *,
    groups: pd.Series,
    perturbation: str,
    stored: Mapping[str, csr_matrix],
) -> pd.DataFrame:
    """gene, source, value (log1p): cells of `control`, `real` and of each prediction, for one perturbation.

    values : of each gene, (n_cells,) log1p. groups : (n_cells,) categorical of perturbations. Predicted cells are
    control cells scaled gene by gene until their mean is the predicted one, as a submission makes them; or those
    `stored` for a prediction by its key: (n, n_genes) log1p.
    """
    codes = groups.cat.codes.to_numpy()
    place = groups.cat.categories.get_loc
    controls, real = (np.flatnonzero(codes == place(who)) for who in (control_of(perturbation), perturbation))
    if len(controls) > MAX_CONTROLS:
        controls = controls[np.linspace(0, len(controls) - 1, MAX_CONTROLS).astype(int)]
    genes, at = list(values), [index.gene_position[gene] for gene in values]
    block = np.column_stack([values[gene][controls] for gene in genes])
    cells = {CONTROL_CELLS: block, REAL_CELLS: np.column_stack([values[gene][real] for gene in genes])}
    for own in predictions:
        if own.key in stored:
            cells[own.name] = stored[own.key][:, at].toarray()
        else:
            wanted = index.mean(control_of(perturbation))[at] + own.only([perturbation]).deltas[0][at]
            cells[own.name] = anchor_cells(csr_matrix(block), wanted).cells.toarray()
    sources = pd.Categorical.from_codes(
        np.concatenate([np.repeat(i, len(own) * len(genes)) for i, own in enumerate(cells.values())]), list(cells)
    )
    names = np.concatenate([np.tile(np.arange(len(genes)), len(own)) for own in cells.values()])
    return pd.DataFrame(
        {
            "gene": pd.Categorical.from_codes(names, genes),
            "source": sources,
            "value": np.concatenate([own.ravel() for own in cells.values()]),
        }
    )
