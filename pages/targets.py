"""Targets: which perturbation would reverse or mimic a signature, and how far to trust it.

section: Models
icon: :material/track_changes:
order: 62
"""

import streamlit as st

from vccapp import ui

VIEWS = {
    "Ranking": ui.show_ranking_of_targets,
    "Gene by gene": ui.show_gene_by_gene,
    "Validation": ui.show_validation,
    "Next": ui.show_next,
}

ui.open_page(__file__)
record, index = ui.need_index()


@st.fragment
def show_page() -> None:
    chosen = ui.choose_targets(record, index)
    commands = []
    tabs = st.tabs(list(VIEWS), key="tgt_view", on_change="rerun", bind="query-params")
    for tab, show in zip(tabs, VIEWS.values(), strict=True):
        if tab.open:
            with tab:
                commands += show(chosen)
    ui.reproduce(*commands)


show_page()
st.caption("What is ranked are perturbations of genes in these cells. It says nothing about drugs.")
