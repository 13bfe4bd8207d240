"""Overview: what the dataset holds, and how many cells and how much depth each group has.

section: Data
icon: :material/dashboard:
order: 10
"""

import streamlit as st

from vccapp import ui
from vccapp.figures import overview as figures

ui.open_page(__file__)
record, index = ui.need_index()
schema, genes, perturbations = record.schema, index.genes, index.perturbations
cells = ui.load_cells(index)
control = perturbations.iloc[0]
has_umis = bool(cells["umis"].notna().any())

with st.container(horizontal=True, key="numbers"):
    st.metric("Cells", f"{schema.n_cells:,}")
    st.metric("Genes", f"{schema.n_genes:,}")
    st.metric("Perturbations", f"{schema.n_perturbations:,}")
    st.metric("Control cells", f"{control['n_cells']:,}", help=f"Called {schema.control_label} in the file.")
    st.metric("UMIs per cell", f"{cells['umis'].median():,.0f}" if has_umis else "not known", help="Median")
    st.metric("Genes per cell", f"{cells['genes'].median():,.0f}", help="Median number of detected genes")
    st.metric("Values", schema.value_space, help=schema.value_evidence)

left, right = st.columns(2)
with left:
    ui.show_chart(
        figures.cells_ranked(perturbations, name="perturbation", control=control["perturbation"]),
        key="over_perturbations",
        text=f"Bar chart: cells of each of {schema.n_perturbations} perturbations, most first.",
        data=perturbations[["perturbation", "n_cells"]],
        name="cells_per_perturbation",
    )
    ui.show_chart(
        figures.depth_histogram(cells["genes"].to_numpy(), label="Genes per cell", unit="detected genes"),
        key="over_genes",
        text=f"Histogram of detected genes per cell, median {cells['genes'].median():.0f}.",
        data=cells[["perturbation", "guide", "batch", "genes"]],
        name="genes_per_cell",
    )
    if len(index.batches) > 1:
        ui.show_chart(
            figures.cells_bars(index.batches, name="batch", plural="batches"),
            key="over_batches",
            text=f"Bar chart: cells of each of {len(index.batches)} batches.",
            data=index.batches,
            name="cells_per_batch",
        )
with right:
    if len(index.guides) > 1:
        ui.show_chart(
            figures.cells_ranked(index.guides, name="guide"),
            key="over_guides",
            text=f"Bar chart: cells of each of {len(index.guides)} guides, most first.",
            data=index.guides,
            name="cells_per_guide",
        )
    if has_umis:
        ui.show_chart(
            figures.depth_histogram(cells["umis"].to_numpy(), label="UMIs per cell", unit="UMIs"),
            key="over_umis",
            text=f"Histogram of UMIs per cell, median {cells['umis'].median():.0f}.",
            data=cells[["perturbation", "guide", "batch", "umis"]],
            name="umis_per_cell",
        )
    with st.container(border=True, key="over_summary"):
        st.markdown("**In numbers**")
        ui.show_summary(index)

with st.expander("How the file was read", icon=":material/fact_check:", expanded=False):
    ui.show_schema(schema)

ui.reproduce(f"vccapp data describe {schema.path}", f"vccapp data index {schema.path}")
