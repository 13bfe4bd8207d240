"""Genes: how strongly each gene is expressed, and one gene in controls and chosen perturbations.

section: Data
icon: :material/genetics:
order: 20
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.data.schema import CONTROL
from vccapp.figures import genes as figures
from vccapp.stats.export import HVG
from vccapp.stats.views import name_quadrants

COLUMNS = ["gene", "mean", "max", "min", "nonzero_fraction", "ctrl_nonzero_fraction"]
COLUMNS += ["ctrl_mean", "pert_mean", "delta", "abs_delta", *HVG[1:]]
CSVS = ["gene_statistics.csv", "gene_delta_all_sorted.csv", "gene_delta_top50.csv"]
CSVS += ["gene_delta_with_nonzero_fraction.csv", "hvg.csv"]
FIRST, MOST = 5, 12

ui.open_page(__file__)
record, index = ui.need_index()
genes, names = index.genes[COLUMNS], index.labels[1:]
unit = ui.SPACES[record.schema.value_space]

search = st.text_input(
    "Search genes",
    key="gene_search",
    bind="query-params",
    placeholder="part of a name, e.g. MYC; then choose a row to see the gene below",
    icon=":material/search:",
)
found = genes[genes["gene"].str.contains(search.strip(), case=False, regex=False)] if search.strip() else genes
st.caption(
    f"{len(found):,} of {len(genes):,} genes, {int(genes['highly_variable'].sum()):,} of them highly variable. "
    f"Means, extremes and deltas are in the file's own units ({unit})."
)
ui.show_table(
    found,
    key="gene_table",
    text="Table of genes with their means, extremes, shares of cells, deltas and dispersions",
    name="genes",
    height=300,
    choose=("gene", "gene"),
)
ui.show_exports(index, CSVS, key="gene_csv")


@st.fragment
def show_gene() -> None:
    left, middle, right = st.columns([2, 1, 1])
    with left:
        gene = ui.name_gene(genes)
    if gene is None:
        return
    ways = ["Perturbations", "Batches"] if len(index.batches) > 1 else ["Perturbations"]
    shared = {"required": True, "bind": "query-params"}
    way = middle.segmented_control("Groups of cells", ways, default=ways[0], key="gene_by", **shared)
    drawing = right.segmented_control(
        "Drawn as", ["Violins", "Cumulative"], default="Violins", key="gene_drawing", **shared
    )
    values, cells = ui.load_gene(index, gene), ui.load_cells(index)
    if way == "Batches":
        batches = index.batches["batch"].tolist()
        chosen = st.multiselect(
            "Control cells of these batches",
            batches,
            default=batches[: FIRST + 1],
            key="gene_batches",
            bind="query-params",
            max_selections=MOST,
        )
        own = (cells["perturbation"] == CONTROL).to_numpy()
        values, labels, control = values[own], cells.loc[own, "batch"], None
    else:
        strongest = index.perturbations.iloc[1:].nlargest(FIRST, "effect")["perturbation"]
        added = st.multiselect(
            "Perturbations to compare with the controls",
            names,
            default=strongest.tolist(),
            key="gene_perturbations",
            bind="query-params",
            max_selections=MOST,
            help="The perturbation of the gene itself is always shown, if there is one.",
        )
        chosen = list(dict.fromkeys([CONTROL, *([gene] if gene in names else []), *added]))
        labels, control = cells["perturbation"], CONTROL
    means = figures.compute_expression(values, labels, chosen=chosen)
    if drawing == "Violins":
        curves = figures.compute_violins(values, labels, chosen=chosen)
        chart = figures.expression_violins(curves, gene=gene, control=control)
    else:
        curves = figures.compute_ecdf(values, labels, chosen=chosen)
        chart = figures.expression_curves(curves, gene=gene, control=control)
    left, right = st.columns(2)
    with left:
        ui.show_chart(
            chart,
            key="gene_curves",
            text=f"Distribution of {gene} over the cells of {len(means)} groups.",
            data=curves,
            name=f"{gene}_distribution",
        )
    with right:
        ui.show_chart(
            figures.expression_means(means, gene=gene, control=control),
            key="gene_means_chart",
            text=f"Mean expression of {gene} with 95 % interval in {len(means)} groups of cells.",
            data=means,
            name=f"{gene}_means",
        )


st.subheader("One gene", anchor=False)
show_gene()
st.subheader("All genes", anchor=False)
left, right = st.columns(2)
with left:
    ui.show_chart(
        figures.means_histogram(genes, unit=unit),
        key="gene_histogram",
        text=f"Histogram of the mean expression of {len(genes)} genes on a log axis.",
        data=genes[["gene", "mean"]],
        name="gene_means",
    )
with right:
    quadrants, cuts = name_quadrants(genes)
    ui.show_chart(
        figures.mean_dispersion(quadrants, cuts=cuts),
        key="gene_dispersion",
        text="Scatter plot of mean against dispersion: informative, housekeeping, rare and uninformative genes.",
        data=quadrants,
        name="gene_quadrants",
    )
ui.reproduce(shlex.join(["vccapp", "data", "export", record.fingerprint, "tables"]))
