"""Similarity: which perturbations have similar effects, and how well each effect is measured.

section: Data
icon: :material/hub:
order: 33
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.figures import similarity as figures

GENES = {"variable": "Highly variable", "all": "All genes"}

ui.open_page(__file__)
record, index = ui.need_context()


@st.fragment
def show_page() -> None:
    left, right = st.columns(2, vertical_alignment="bottom")
    which = ui.choose_one("Genes compared", GENES, key="sim_genes", default="variable", place=left)
    found = ui.load_similarity(index, which)
    names = index.perturbed
    first = names.index(found.scores[len(index.controls) :].nlargest(1, "effect")["perturbation"].iloc[0])
    label = right.selectbox("Perturbation", names, index=first, key="sim_pert", bind="query-params")
    close, pairs = found.neighbours(label), found.pairs()
    shown = figures.similarity_heatmap(found.correlation, found.labels)
    near = figures.neighbours(close, label=label)
    spread = figures.pseudobulk_map(found.scores, shares=found.shares, controls=index.controls, chosen=label)
    sure = figures.reliability(found.reliability, chosen=label)
    charts = [
        ("heatmap", shown, f"Heat map of the correlations between {len(names)} perturbations.", pairs),
        ("neighbours", near, f"The perturbations most and least similar to {label}.", close),
        ("map", spread, "Pseudobulks on the first two principal components.", found.scores),
        ("reliability", sure, "Split-half reliability of each perturbation against its effect.", found.reliability),
    ]
    places = [*st.columns([3, 2]), *st.columns(2)]
    for place, (name, chart, text, data) in zip(places, charts, strict=True):
        with place:
            ui.show_chart(chart, key=f"sim_{name}", text=text, data=data, name=f"similarity_{name}")


show_page()
st.caption(
    "Reliability: the cells of each perturbation were split at random into two halves. The correlation r of their "
    "deltas against all controls gives 2r / (1 + r), what a second experiment would reach (Spearman-Brown). Its square "
    "root is what the true effects would reach: perfect."
)
ui.reproduce(shlex.join(["vccapp", "data", "export", record.fingerprint, "tables"]))
