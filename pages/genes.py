"""Genes: how strongly each gene is expressed, and one gene in controls and chosen perturbations.

section: Data
icon: :material/genetics:
order: 20
"""

import streamlit as st

from vccapp import ui
from vccapp.data.schema import CONTROL
from vccapp.figures import genes as figures

COLUMNS = [
    "gene",
    "mean",
    "max",
    "min",
    "nonzero_fraction",
    "ctrl_nonzero_fraction",
    "ctrl_mean",
    "pert_mean",
    "delta",
    "abs_delta",
]
DEFAULT_PERTURBATIONS = 5

ui.open_page(__file__)
record, index = ui.need_index()
genes, names = index.genes[COLUMNS], index.labels[1:]
unit = ui.SPACES[record.schema.value_space]

search = st.text_input(
    "Search genes",
    key="gene_search",
    bind="query-params",
    placeholder="part of a name, e.g. MYC",
    icon=":material/search:",
)
found = genes[genes["gene"].str.contains(search.strip(), case=False, regex=False)] if search.strip() else genes
st.caption(f"{len(found):,} of {len(genes):,} genes. Means, extremes and deltas are in the file's own units ({unit}).")
ui.show_table(
    found,
    key="gene_table",
    text="Table of genes with their means, extremes, shares of cells and deltas",
    name="gene_statistics",
    choose=("gene", "gene"),
)

first = genes["gene"].iloc[int(genes["abs_delta"].to_numpy().argmax())]
options = genes["gene"].tolist()
left, right = st.columns([1, 2])
gene = left.selectbox("Gene", options, index=options.index(first), key="gene", bind="query-params")
strongest = index.perturbations.iloc[1:].sort_values("effect", ascending=False)["perturbation"]
own = [gene] if gene in names else []
chosen = right.multiselect(
    "Perturbations to compare with the controls",
    names,
    default=strongest.head(DEFAULT_PERTURBATIONS).tolist(),
    key="gene_perturbations",
    bind="query-params",
    max_selections=12,
    help="The perturbation of the gene itself is always shown, if there is one.",
)
groups = [CONTROL, *dict.fromkeys(own + chosen)]
values, labels = ui.load_gene(index, gene), ui.load_cells(index)["perturbation"]
means = figures.compute_expression(values, labels, chosen=groups)
curves = figures.compute_ecdf(values, labels, chosen=groups)

left, right = st.columns(2)
with left:
    ui.show_chart(
        figures.expression_means(means, gene=gene, control=CONTROL),
        key="gene_means_chart",
        text=f"Mean expression of {gene} with 95 % interval in {len(groups)} groups of cells.",
        data=means,
        name=f"{gene}_means",
    )
with right:
    ui.show_chart(
        figures.expression_curves(curves, gene=gene, control=CONTROL),
        key="gene_curves",
        text=f"Share of cells that express at least so much of {gene}, a line for each of {len(groups)} groups.",
        data=curves,
        name=f"{gene}_distribution",
    )
ui.show_chart(
    figures.means_histogram(genes, unit=unit, marked=gene),
    key="gene_histogram",
    text=f"Histogram of the mean expression of {len(genes)} genes on a log axis.",
    data=genes[["gene", "mean"]],
    name="gene_means",
)
ui.reproduce(f"vccapp data index {record.path}", f"# the tables are in {index.folder}/genes.parquet")
