"""Markers: how every perturbation changes a few genes of your choice.

section: Examples
icon: :material/star:
order: 90
"""

import altair as alt
import pandas as pd
import streamlit as st

from vccapp import ui
from vccapp.figures.style import finish

ui.open_page(__file__)
record, index = ui.need_index()

genes = index.genes["gene"].tolist()
chosen = st.multiselect("Genes", genes, default=genes[:3], key="markers_genes", bind="query-params")
if not chosen:
    st.info("Choose at least one gene.")
    st.stop()

labels = index.labels[1:]
deltas = index.deltas(labels)[:, [genes.index(gene) for gene in chosen]]
frame = pd.DataFrame(deltas, labels, chosen).rename_axis("perturbation").reset_index()
long = frame.melt("perturbation", var_name="gene", value_name="delta")

bars = alt.Chart(long).mark_tick(thickness=2).encode(x="delta:Q", y="gene:N", tooltip=["perturbation", "delta"])
ui.show_chart(
    finish(bars, "Effects on the markers", "one tick a perturbation, log1p"),
    key="markers_chart",
    text=f"The effects of {len(labels)} perturbations on {', '.join(chosen)}",
    data=frame,
    name="markers",
)
