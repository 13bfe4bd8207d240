"""The page Genes: its table, one gene by name, and the groups of cells that the gene is looked at in."""

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.gene_sets import find_genes
from vccapp.data.schema import control_of, target_of
from vccapp.stats.export import HVG
from vccapp.stats.index import Index
from vccapp.stats.views import name_quadrants
from vccapp.ui.kit.loaders import load_cells, load_gene
from vccapp.wording import plain

COLUMNS = ["gene", "mean", "max", "min", "nonzero_fraction", "ctrl_nonzero_fraction"]
COLUMNS += ["ctrl_mean", "pert_mean", "delta", "abs_delta", *HVG[1:]]
FIRST, MOST = 5, 12
"""Groups of cells that are shown at first and at most."""


@dataclass(frozen=True)
class GeneGroups:
    """values : of one gene, labels : group of each cell; chosen : groups to show; controls : those of them."""

    values: np.ndarray
    labels: pd.Series
    chosen: list[str]
    controls: list[str]


def gene_table(index: Index) -> pd.DataFrame:
    """One row a gene: its means, extremes, shares of cells, deltas and dispersions."""
    return index.genes[COLUMNS]


def gene_quadrants(index: Index) -> tuple[pd.DataFrame, tuple[float, float]]:
    """Genes by mean and dispersion, and where the two are cut; see `name_quadrants`."""
    return name_quadrants(index.genes)


def name_gene(genes: pd.DataFrame) -> str | None:
    """One gene, typed: a browser takes seconds to list them all. Where there is none of that name, say so."""
    names = genes["gene"]
    text = st.text_input(
        "Gene",
        names.iloc[genes["abs_delta"].to_numpy().argmax()],
        key="gene",
        bind="query-params",
        help="Enter a name, or search above and choose a row. Default: the gene that changes most.",
    ).strip()
    found, _ = find_genes(text, names)
    if found:
        return found[0]
    near = get_close_matches(text.upper(), names, n=5)
    st.info(f"The dataset has no gene '{plain(text)}'." + (f" Near: {plain(', '.join(near))}." if near else ""))
    return None


def choose_gene_groups(index: Index, gene: str, *, by: str) -> GeneGroups:
    """Cells of the controls and of perturbations, or with by="Batches" the controls of batches."""
    values, cells = load_gene(index, gene), load_cells(index)
    if by == "Batches":
        batches = index.batches["batch"].tolist()
        chosen = st.multiselect(
            "Control cells of these batches",
            batches,
            default=batches[: FIRST + 1],
            key="gene_batches",
            bind="query-params",
            wrap=True,
            max_selections=MOST,
        )
        controls = cells["perturbation"].isin(index.controls).to_numpy()
        return GeneGroups(values[controls], cells.loc[controls, "batch"], chosen, [])
    names = index.perturbed
    strongest = index.perturbations[len(index.controls) :].nlargest(FIRST, "effect")["perturbation"]
    added = st.multiselect(
        "Perturbations to compare with the controls",
        names,
        default=strongest.tolist(),
        key="gene_perturbations",
        bind="query-params",
        wrap=True,
        max_selections=MOST,
        help="The perturbation of this gene is always shown if there is one.",
    )
    own = [label for label in names if target_of(label) == gene]
    shown = list(dict.fromkeys([*own, *added]))[: MOST + 1]
    controls = dict.fromkeys(map(control_of, shown or names))
    return GeneGroups(values, cells["perturbation"], [*controls, *shown], list(controls))
