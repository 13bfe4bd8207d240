"""Opening a data file on a page: what it holds, and the user's own choice of columns."""

from pathlib import Path

import streamlit as st

from vccapp.data.demo import sample_path
from vccapp.data.schema import Columns, Schema
from vccapp.data.workspace import check_allowed
from vccapp.ui.loaders import current_settings

FIELDS = {
    "perturbation": "Perturbation column",
    "guide": "Guide column",
    "batch": "Batch column",
    "control": "Control label",
}


def choose_columns(*, key: str) -> Columns:
    """Fields for the columns and the control label; what is left empty is found by name and content."""
    with st.expander("Columns and control label", icon=":material/tune:"):
        st.caption("Empty: found by name and content, as the report below says.")
        chosen = {
            name: column.text_input(label, key=f"{key}_{name}", bind="query-params").strip() or None
            for column, (name, label) in zip(st.columns(4), FIELDS.items(), strict=True)
        }
    return Columns(**chosen)


def load_schema(path: str, columns: Columns) -> Schema:
    """What a file holds, opened and checked. Raises DataError in one sentence when it cannot be used."""
    found = Path(path).expanduser()
    if found != sample_path():
        check_allowed(found, current_settings())
    return _open(found, found.stat().st_mtime if found.exists() else 0.0, columns.model_dump_json())


@st.cache_data(max_entries=16, show_spinner="Reading the file")
def _open(path: Path, changed: float, columns: str) -> Schema:
    from vccapp.data.dataset import open_dataset

    return open_dataset(path, columns=Columns.model_validate_json(columns)).schema
