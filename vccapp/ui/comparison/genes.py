"""The views of the page Compare that look at chosen perturbations and genes. Each returns its command."""

import numpy as np
import streamlit as st

from vccapp.evaluation.comparison.agreement import Quantity, view_agreement
from vccapp.evaluation.comparison.gene_values import FIRST_CELLS, MAX_BARS, MAX_CELLS, view_genes
from vccapp.evaluation.comparison.heat_map import MAX_COLUMNS, view_heat_map
from vccapp.figures.comparison import agreement as figures
from vccapp.figures.comparison import genes as compare_genes
from vccapp.figures.style import MAX_POINTS
from vccapp.ui.comparison.choice import Choice, first_choice
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.show import show_chart, show_table

QUANTITIES: dict[Quantity, str] = {"delta": "Deltas", "pseudobulk": "Pseudobulks"}
AXES = {"delta": ("real_delta", "predicted_delta", "delta (log1p)"), "pseudobulk": ("real", "predicted", "mean log1p")}
PER_ROW = 3


def show_agreement(chosen: Choice) -> list[str]:
    """Scatter of predicted against real, a chart a run."""
    quantity = choose_one("Values", QUANTITIES, key="cmp_quantity", default="delta", label_visibility="collapsed")
    view = view_agreement(chosen.comparison, perturbations=chosen.perturbations, genes=chosen.genes, quantity=quantity)
    r = view.correlations.set_index("source")["pearson_delta"]
    x, y, unit = AXES[quantity]
    runs, floor = chosen.comparison.runs, chosen.comparison.floor.name
    baseline = view.values[view.values["source"] == floor]
    between = f"baseline {_number(r[floor])}, repeat {_number(r.iloc[-2])}, perfect {_number(r.iloc[-1])}"
    for start in range(0, len(runs), PER_ROW):
        row = runs[start : start + PER_ROW]
        for place, own in zip(st.columns(max(len(row), 2)), row, strict=False):
            with place:
                chart = figures.agreement(
                    view.values[view.values["source"] == own.name],
                    x=x,
                    y=y,
                    title=own.name,
                    unit=unit,
                    band=view.band,
                    baseline=baseline,
                    note=f"r {_number(r[own.name])} ({between})",
                    limit=MAX_POINTS // len(row),
                )
                text = f"{own.name}: predicted against real {QUANTITIES[quantity].lower()} of {len(chosen.genes)} genes"
                show_chart(
                    chart,
                    key=f"cmp_agreement_{own.key}",
                    text=f"{text} in {len(chosen.perturbations)} perturbations.",
                    data=view.values[view.values["source"] == own.name],
                    name=f"compare_{own.key}",
                )
    st.caption(
        "r: Pearson correlation of predicted and real deltas over these genes, mean over these perturbations. "
        "A constant prediction has none. Perfect: the true means; repeat: a second experiment. Grey strokes: the "
        "baseline, the mean of the training perturbations. Dashed: predicted = real. Band: where 95 % of the genes of "
        "a repeated measurement of as many cells would lie."
    )
    show_table(view.values, key="cmp_table", text="Real and predicted values by gene", name="compare", height=260)
    return [chosen.command("agreement", "--values", quantity, closely=True)]


def show_genes(chosen: Choice) -> list[str]:
    """Control, real and predicted means of genes in one perturbation, and their cells."""
    left, right = st.columns([1, 2])
    label = left.selectbox("Perturbation", chosen.perturbations, key="cmp_perturbation", bind="query-params")
    genes = list(chosen.genes)
    picked = right.multiselect(
        "Cells of these genes",
        genes,
        default=first_choice("cmp_cells", genes, genes[:FIRST_CELLS]),
        key="cmp_cells",
        bind="query-params",
        wrap=True,
        max_selections=MAX_CELLS,
    )
    view = view_genes(chosen.comparison, perturbation=label, genes=genes, cells_of=picked)
    show_chart(
        compare_genes.gene_means(view.means, label=label),
        key="cmp_gene_means",
        text=f"{label}: control, real and predicted means of {min(len(genes), MAX_BARS)} genes.",
        data=view.means,
        name=f"{label}_gene_means",
    )
    for start in range(0, len(picked), 2):
        for place, gene in zip(st.columns(2), picked[start : start + 2], strict=False):
            cells = view.cells[view.cells["gene"] == gene]
            chart, curves = compare_genes.gene_cells(cells["value"].to_numpy(), cells["source"], gene=gene)
            with place:
                show_chart(
                    chart,
                    key=f"cmp_cells_{gene}",
                    text=f"{label}: violins of {gene} in control, real and predicted cells.",
                    data=curves,
                    name=f"{label}_{gene}_cells",
                )
    if picked:
        st.caption(
            "Predicted cells are generated as in a submission: control cells (a sample of at most 4,000) with "
            "each gene scaled to its predicted mean. Imported predictions keep the cells of the file."
        )
    return [chosen.command("genes", "--perturbation", label, "--cells-of", ",".join(picked), closely=True)]


def show_heat_map(chosen: Choice) -> list[str]:
    """Deltas of perturbations and genes, real beside predicted."""
    every = chosen.comparison.labels
    wide = st.toggle(
        f"All {len(every)} perturbations",
        key="cmp_wide",
        bind="query-params",
        help="Otherwise the perturbations chosen above",
    )
    labels = every if wide else chosen.perturbations
    view = view_heat_map(chosen.comparison, chosen.shown, perturbations=labels, genes=chosen.genes)
    show_chart(
        compare_genes.heat_map(
            view.real, view.predicted, labels=view.perturbations, genes=view.genes, name=chosen.shown.name
        ),
        key="cmp_heat_map",
        text=f"Heat maps of the deltas of {len(view.genes)} genes in {len(labels)} perturbations, real and predicted.",
        data=view.values,
        name="compare_heat_map",
    )
    if len(chosen.genes) > MAX_COLUMNS:
        st.caption(f"The first {MAX_COLUMNS} of the {len(chosen.genes):,} genes.")
    return [chosen.command("heatmap", *(["--all"] if wide else []), detail=True, closely=True)]


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.2f}"
