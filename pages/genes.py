"""Genes: how strongly each gene is expressed, and one gene in controls and chosen perturbations.

section: Data
icon: :material/genetics:
order: 20
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.figures import genes as figures

CSVS = ["gene_statistics.csv", "gene_delta_all_sorted.csv", "gene_delta_top50.csv"]
CSVS += ["gene_delta_with_nonzero_fraction.csv", "hvg.csv"]

ui.open_page(__file__)
record, index = ui.need_context()
genes = ui.gene_table(index)
unit = ui.SPACES[record.schema.value_space]

search = st.text_input(
    "Search genes",
    key="gene_search",
    bind="query-params",
    placeholder="Part of a name, e.g. MYC; choose a row to show the gene below",
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
    gene = ui.name_gene(genes)
    if gene is None:
        return
    row = st.container(horizontal=True)  # wraps where the window is narrow
    ways = ["Perturbations", "Batches"] if len(index.batches) > 1 else ["Perturbations"]
    way = ui.choose_one("Groups of cells", ways, key="gene_by", place=row)
    drawing = ui.choose_one("Drawn as", ["Violins", "Cumulative"], key="gene_drawing", default="Violins", place=row)
    groups = ui.choose_gene_groups(index, gene, by=way)
    values, labels, controls = groups.values, groups.labels, groups.controls
    means = figures.compute_expression(values, labels, chosen=groups.chosen)
    if drawing == "Violins":
        curves = figures.compute_violins(values, labels, chosen=groups.chosen)
        chart = figures.expression_violins(curves, gene=gene, controls=controls)
    else:
        curves = figures.compute_ecdf(values, labels, chosen=groups.chosen)
        chart = figures.expression_curves(curves, gene=gene, controls=controls)
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
            figures.expression_means(means, gene=gene, controls=controls),
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
    quadrants, cuts = ui.gene_quadrants(index)
    ui.show_chart(
        figures.mean_dispersion(quadrants, cuts=cuts),
        key="gene_dispersion",
        text="Scatter plot of mean against dispersion: informative, housekeeping, rare and uninformative genes.",
        data=quadrants,
        name="gene_quadrants",
    )
ui.reproduce(shlex.join(["vccapp", "data", "export", record.fingerprint, "tables"]))
