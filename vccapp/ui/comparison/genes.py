"""The views of the page Compare that look at chosen perturbations and genes."""

import numpy as np
import streamlit as st

from vccapp.evaluation.comparison.agreement import compare_predictions, compute_band, compute_correlations
from vccapp.evaluation.comparison.gene_values import compute_gene_means, sample_gene_cells
from vccapp.figures.comparison import agreement as figures
from vccapp.figures.comparison import genes as compare_genes
from vccapp.figures.style import MAX_POINTS
from vccapp.stats.views import correlate, order_alike
from vccapp.ui.comparison.comparison import Comparison, first_choice, load_own_cells
from vccapp.ui.kit.loaders import load_cells, load_gene
from vccapp.ui.kit.show import show_chart, show_table

QUANTITIES = {"delta": "Deltas", "pseudobulk": "Pseudobulks"}
AXES = {"delta": ("real_delta", "predicted_delta", "delta (log1p)"), "pseudobulk": ("real", "predicted", "mean log1p")}
MAX_BARS = 20
FIRST_CELLS, MAX_CELLS = 4, 6
MAX_COLUMNS = 40
PER_ROW = 3


def show_agreement(chosen: Comparison) -> None:
    """Scatter of predicted against real, a chart a run."""
    quantity = st.segmented_control(
        "Values",
        list(QUANTITIES),
        default="delta",
        required=True,
        key="cmp_quantity",
        bind="query-params",
        format_func=QUANTITIES.get,
        label_visibility="collapsed",
    )
    which = {"perturbations": list(chosen.perturbations), "genes": list(chosen.genes)}
    beside = [*chosen.runs, chosen.floor]
    frame = compare_predictions(chosen.index, beside, **which)
    r = compute_correlations(chosen.index, beside, **which).set_index("source")["pearson_delta"]
    band = compute_band(chosen.index, which["perturbations"], quantity=quantity)
    x, y, unit = AXES[quantity]
    baseline = frame[frame["source"] == chosen.floor.name]
    between = f"baseline {_number(r[chosen.floor.name])}, ceiling {_number(r.iloc[-1])}"
    for start in range(0, len(chosen.runs), PER_ROW):
        row = chosen.runs[start : start + PER_ROW]
        for place, own in zip(st.columns(max(len(row), 2)), row, strict=False):
            with place:
                chart = figures.agreement(
                    frame[frame["source"] == own.name],
                    x=x,
                    y=y,
                    title=own.name,
                    unit=unit,
                    band=band,
                    baseline=baseline,
                    told=f"r {_number(r[own.name])} ({between})",
                    limit=MAX_POINTS // len(row),
                    columns=max(4 - len(row), 2),
                )
                text = f"{own.name}: predicted against real {QUANTITIES[quantity].lower()} of {len(chosen.genes)} genes"
                show_chart(
                    chart,
                    key=f"cmp_agreement_{own.key}",
                    text=f"{text} in {len(chosen.perturbations)} perturbations.",
                    data=frame[frame["source"] == own.name],
                    name=f"compare_{own.key}",
                )
    st.caption(
        "r: Pearson correlation of predicted and real deltas over these genes, mean over these perturbations. "
        "A constant prediction has none. Ceiling: one half of the cells against the other. Grey strokes: baseline, the "
        "mean of the training perturbations. Dashed: predicted = real. Band: where 95 % of the genes of a repeated "
        "measurement of as many cells would lie."
    )
    show_table(frame, key="cmp_table", text="Real and predicted values by gene", name="compare", height=260)


def show_genes(chosen: Comparison) -> None:
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
        max_selections=MAX_CELLS,
    )
    bars = compute_gene_means(chosen.index, [*chosen.runs, chosen.floor], perturbation=label, genes=genes[:MAX_BARS])
    show_chart(
        compare_genes.gene_means(bars, label=label),
        key="cmp_gene_means",
        text=f"{label}: control, real and predicted means of {min(len(genes), MAX_BARS)} genes.",
        data=bars,
        name=f"{label}_gene_means",
    )
    if not picked:
        return
    values = {gene: load_gene(chosen.index, gene) for gene in picked}
    groups = load_cells(chosen.index)["perturbation"]
    stored = {own.key: cells for own in chosen.runs if (cells := load_own_cells(chosen, own, label)) is not None}
    cells = sample_gene_cells(chosen.index, chosen.runs, values, groups=groups, perturbation=label, stored=stored)
    for start in range(0, len(picked), 2):
        for place, gene in zip(st.columns(2), picked[start : start + 2], strict=False):
            own = cells[cells["gene"] == gene]
            chart, curves = compare_genes.gene_cells(own["value"].to_numpy(), own["source"], gene=gene)
            with place:
                show_chart(
                    chart,
                    key=f"cmp_cells_{gene}",
                    text=f"{label}: violins of {gene} in control, real and predicted cells.",
                    data=curves,
                    name=f"{label}_{gene}_cells",
                )
    st.caption(
        "Predicted cells are made as a submission makes them: control cells (a sample of 4,000 at most), each gene "
        "scaled until its mean is the predicted one. Those of imported predictions are the file's own."
    )


def show_heat_map(chosen: Comparison) -> None:
    """Deltas of perturbations and genes, real beside predicted."""
    wide = st.toggle(
        f"All {len(chosen.labels)} perturbations", key="cmp_wide", bind="query-params", help="Else those chosen above"
    )
    labels = list(chosen.labels if wide else chosen.perturbations)
    genes = list(chosen.genes[:MAX_COLUMNS])
    at = [chosen.index.gene_position[gene] for gene in genes]
    real = chosen.index.deltas(labels)[:, at]
    order = order_alike(correlate(real.T))
    genes = [genes[i] for i in order]
    predicted = chosen.shown.only(labels).deltas[:, at][:, order]
    frame = compare_predictions(chosen.index, [chosen.shown], perturbations=labels, genes=genes)
    show_chart(
        compare_genes.heat_map(real[:, order], predicted, labels=labels, genes=genes, name=chosen.shown.name),
        key="cmp_heat_map",
        text=f"Heat maps of the deltas of {len(genes)} genes in {len(labels)} perturbations, real and predicted.",
        data=frame,
        name="compare_heat_map",
    )
    if len(chosen.genes) > MAX_COLUMNS:
        st.caption(f"The first {MAX_COLUMNS} of the {len(chosen.genes):,} genes.")


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.2f}"
