"""Data files: open a file, check how it was read, and compute its statistics once.

section: Data
icon: :material/folder_open:
order: 35
"""

import shlex

import streamlit as st

from vccapp import ui
from vccapp.data.commands import describe_command
from vccapp.data.simulation.demo import sample_path
from vccapp.data.workspace import list_data_files, list_datasets
from vccapp.tasks.index import Index

ui.open_page(__file__)
settings = ui.current_settings()


def use_sample() -> None:
    st.session_state["data_path"] = str(sample_path())


def use_listed() -> None:
    if st.session_state["data_listed"]:
        st.session_state["data_path"] = st.session_state["data_listed"]


st.subheader("Open a file", anchor=False)
roots = ", ".join(str(root) for root in settings.data_roots)
left, right = st.columns([3, 1], vertical_alignment="bottom")
left.selectbox(
    "Files found",
    [str(path) for path in list_data_files(settings)],
    index=None,
    key="data_listed",
    on_change=use_listed,
    placeholder="choose an .h5ad file or zarr store",
    help=f"Below {roots}. Other folders: set VCCAPP_DATA_ROOTS.",
)
right.button(
    "The real sample",
    icon=":material/biotech:",
    key="data_sample",
    on_click=use_sample,
    width="stretch",
    help="600 H1 cells x 1,000 genes of the 2025 challenge's training data, raw counts, CC0",
)
path = st.text_input("Path", key="data_path", bind="query-params", placeholder="or type a path").strip()

commands = ["vccapp data describe PATH", "vccapp data index PATH"]
if path:
    with ui.errors_told():
        columns = ui.choose_columns(path, key="data")
        task = Index(paths=(path,), columns=columns)
        commands = [shlex.join(words) for words in (describe_command([path], columns), task.command())]
        opened = ui.open_file(path, columns)
        ui.show_schema(opened.schema)
        possible = ui.show_plan(opened)
        if st.button(
            "Compute the statistics",
            type="primary",
            icon=":material/play_arrow:",
            key="data_index",
            disabled=not possible,
        ):
            ui.begin_job(task)
            st.rerun()
    ui.show_jobs(task="index", limit=2, key="data_jobs")

st.subheader("Datasets of this workspace", anchor=False)
st.caption("Choose a row to see it on every page, or choose in the sidebar.")
datasets = list_datasets(settings)
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
