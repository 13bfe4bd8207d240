"""Data files: open a file, check how it was read, and compute its statistics once.

section: Data
icon: :material/folder_open:
order: 35
"""

import streamlit as st

from vccapp import ui

ui.open_page(__file__)
st.subheader("Open a file", anchor=False)
commands = ui.show_file(ui.choose_path())

st.subheader("Datasets of this workspace", anchor=False)
st.caption("Choose a row to see it on every page, or choose in the sidebar.")
datasets = ui.load_datasets()
ui.show_unreadable(datasets.unreadable)
ui.show_table(
    ui.dataset_table(datasets),
    key="data_table",
    text="Table of the registered datasets",
    name="datasets",
    height=280,
    choose=("fingerprint", "data"),
)
ui.reproduce(*commands, "vccapp data list")
