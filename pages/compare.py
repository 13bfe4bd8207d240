"""Compare: predictions against real cells, with baselines and limits.

section: Models
icon: :material/compare_arrows:
order: 60
"""

import streamlit as st

from vccapp import ui

VIEWS = {
    "Agreement": ui.show_agreement,
    "Genes": ui.show_genes,
    "Heat map": ui.show_heat_map,
    "Scores": ui.show_scores,
    "Confusion": ui.show_confusion,
    "DEGs": ui.show_degs,
    "Two runs": ui.show_difference,
    "Diagnostics": ui.show_findings,
    "Calibrate": ui.show_calibrate,
}

ui.open_page(__file__)
record, index = ui.need_index()


@st.fragment
def show_page() -> None:
    chosen = ui.choose_comparison(record, index)
    commands = []
    tabs = st.tabs(list(VIEWS), key="cmp_view", on_change="rerun", bind="query-params")
    for tab, show in zip(tabs, VIEWS.values(), strict=True):
        if tab.open:
            with tab:
                commands += show(chosen)
    ui.reproduce(*commands)


if ui.has_runs(record):
    show_page()
box = st.expander(
    "Import a prediction made elsewhere", icon=":material/upload_file:", key="cmp_import", on_change="rerun"
)
if box.open:
    with box:
        ui.import_form(record)
