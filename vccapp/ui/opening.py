"""Opening a data file on a page: what it holds, the user's own choice of columns, and what its index will take."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from vccapp.data.schema import Columns, Schema
from vccapp.data.simulation.demo import sample_path
from vccapp.data.workspace import check_allowed
from vccapp.errors import DataError
from vccapp.stats.building.plan import IndexPlan
from vccapp.ui.kit.frame import errors_told
from vccapp.ui.kit.loaders import current_settings
from vccapp.wording import bytes_text, duration_text

FIELDS = {"perturbation": "Perturbation column", "guide": "Guide column", "batch": "Batch column"}


@dataclass(frozen=True)
class Opened:
    """What a file holds, what its index will take, and why it cannot have one (empty: it can)."""

    schema: Schema
    plan: IndexPlan
    unusable: DataError | None


def choose_columns(path: str, *, key: str) -> Columns:
    """Choices among a file's columns, and its control label; what is left empty is found by name and content."""
    options = _list_columns(*_allowed(path))
    with st.expander("Columns and control label", icon=":material/tune:"):
        st.caption("Empty: found by name and content, as the report below says.")
        places = st.columns(4)
        chosen = {
            name: place.selectbox(
                label,
                options,
                index=None,
                key=f"{key}_{name}",
                bind="query-params",
                placeholder="found by itself",
                accept_new_options=True,
            )
            for place, (name, label) in zip(places, FIELDS.items(), strict=False)
        }
        label = places[3].text_input("Control label", key=f"{key}_control", bind="query-params").strip()
    return Columns(**chosen, control=label or None)


def open_file(path: str, columns: Columns) -> Opened:
    """What a file holds, opened and checked. Raises DataError in one sentence when it cannot be used."""
    return _open(*_allowed(path), columns.model_dump_json())


def show_plan(opened: Opened) -> bool:
    """What the index will take; where it cannot be made, why. Whether it can."""
    plan, settings = opened.plan, current_settings()
    with st.container(horizontal=True, key="plan"):
        st.metric("Time, about", duration_text(plan.seconds), help="On this machine, within a factor of two")
        st.metric("Memory", bytes_text(plan.memory_bytes), help=f"Allowed: {bytes_text(settings.memory_bytes)}")
        st.metric("Disk", bytes_text(plan.disk_bytes), help=f"In {settings.datasets}")
    with errors_told():
        if opened.unusable:
            raise opened.unusable
        folder = settings.datasets / "index"
        plan.refuse(opened.schema.path.name, memory_bytes=settings.memory_bytes, folder=folder)
        return True
    return False


def _allowed(path: str) -> tuple[Path, float]:
    """The path and the time of its last change. Raises DataError outside of the data folders."""
    found = Path(path).expanduser()
    if found != sample_path():
        check_allowed(found, current_settings())
    return found, found.stat().st_mtime if found.exists() else 0.0


@st.cache_data(max_entries=16, show_spinner="Reading the file")
def _open(path: Path, changed: float, columns: str) -> Opened:
    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.plan import plan_index

    dataset = open_dataset(path, columns=Columns.model_validate_json(columns))
    try:
        dataset.require_usable()
    except DataError as error:
        return Opened(dataset.schema, plan_index(dataset), error)
    return Opened(dataset.schema, plan_index(dataset), None)


@st.cache_data(max_entries=16, show_spinner=False)
def _list_columns(path: Path, changed: float) -> list[str]:
    from vccapp.data.reading.opening import list_columns

    return list_columns(path)
