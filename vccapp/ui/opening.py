"""Opening a data file on a page: which file, what it holds, how it is read, and what its index will take."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vccapp.data.commands import describe_command
from vccapp.data.schema import INDEX, Columns
from vccapp.data.simulation.demo import sample_path
from vccapp.data.stores.bounded import run_bounded
from vccapp.data.stores.places import absolute
from vccapp.data.workspace import check_allowed, list_data_files
from vccapp.tasks.index import Index, Opened, look_at, look_at_choices
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import cached, current_settings
from vccapp.ui.kit.tables import show_schema
from vccapp.wording import bytes_text, duration_text, plain

FIELDS = {
    "perturbation": "Perturbation column",
    "guide": "Guide column",
    "batch": "Batch column",
    "context": "Context column",
}


def choose_path() -> str:
    """A path: one of the files found, the sample, or typed; empty at first."""
    settings = current_settings()
    roots = ", ".join(str(root) for root in settings.data_roots)
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.selectbox(
        "Files found",
        [str(path) for path in list_data_files(settings)],
        index=None,
        key="data_listed",
        on_change=_use_listed,
        placeholder="Choose an .h5ad file or a zarr store",
        help=f"In {plain(roots)}. To add folders, set VCCAPP_DATA_ROOTS.",
    )
    right.button(
        "The real sample",
        icon=":material/biotech:",
        key="data_sample",
        on_click=_use_sample,
        width="stretch",
        help="600 H1 cells x 1,000 genes of the 2025 challenge's training data, raw counts, CC0",
    )
    return st.text_input("Path", key="data_path", bind="query-params", placeholder="Or type a path").strip()


def show_file(path: str) -> list[str]:
    """What a file holds, how it is read, and the button that indexes it; the commands that do the same."""
    if not path:
        return ["vccapp data describe PATH", "vccapp data index PATH"]
    commands = data_commands([path], Columns())
    with errors_shown():
        columns = _choose_columns(path, key="data")
        commands = data_commands([path], columns)
        opened = load_opened(_allowed(path), columns)
        show_schema(opened.schema)
        possible = show_plan(opened)
        if st.button(
            "Compute the statistics",
            type="primary",
            icon=":material/play_arrow:",
            key="data_index",
            disabled=not possible,
        ):
            begin_job(Index(paths=(path,), columns=columns))
            st.rerun()
    show_jobs(task=Index.name, limit=2, key="data_jobs")
    return commands


def data_commands(paths: Sequence[Path | str], columns: Columns) -> list[str]:
    """`vccapp data describe` and `index` of a file, or of several that are one."""
    index = Index(paths=tuple(paths), columns=columns)
    return [shlex.join(words) for words in (describe_command(paths, columns), index.command())]


@cached(max_entries=16, show_spinner="Reading the file")
def load_opened(path: Path, columns: Columns) -> Opened:
    """What a file holds, opened and checked. Raises DataError in one sentence when it cannot be used."""
    settings = current_settings()
    return run_bounded(look_at, path, columns, settings, memory_bytes=settings.memory_bytes)


@cached(max_entries=16)
def load_choices(path: Path) -> tuple[list[str], list[str], list[str]]:
    """The obs columns, var columns and matrices of a file."""
    settings = current_settings()
    return run_bounded(look_at_choices, path, settings, memory_bytes=settings.memory_bytes)


def show_plan(opened: Opened) -> bool:
    """What the index will take; where it cannot be made, why. Whether it can."""
    plan, settings = opened.plan, current_settings()
    with st.container(horizontal=True, key="plan"):
        st.metric("Estimated time", duration_text(plan.seconds), help="On this machine, to within a factor of two")
        st.metric("Memory", bytes_text(plan.memory_bytes), help=f"Limit: {bytes_text(settings.memory_bytes)}")
        st.metric("Disk", bytes_text(plan.disk_bytes), help=f"In {plain(settings.datasets)}")
    with errors_shown():
        if opened.unusable:
            raise opened.unusable
        folder = settings.datasets / "index"
        plan.refuse(opened.schema.path.name, memory_bytes=settings.memory_bytes, folder=folder)
        return True
    return False


def _choose_columns(path: str, *, key: str) -> Columns:
    """How a file is read: its columns, labels and matrix; what is left empty is found by name and content."""
    obs, var, matrices = load_choices(_allowed(path))

    def choose(place: DeltaGenerator, name: str, label: str, options: Sequence[str], *, new: bool = True) -> str | None:
        return place.selectbox(
            label,
            options,
            index=None,
            key=f"{key}_{name}",
            bind="query-params",
            placeholder="detected",
            accept_new_options=new,
        )

    def write(place: DeltaGenerator, name: str, label: str, help: str) -> tuple[str, ...]:
        text = place.text_input(label, key=f"{key}_{name}", bind="query-params", help=help)
        return tuple(part for one in text.split(";") if (part := one.strip()))

    several = "Separate several by ;  * stands for any text."
    with st.expander("Columns and control label", icon=":material/tune:"):
        st.caption("Detected from names and content if empty; see the report below.")
        places = st.columns(5)
        chosen = {
            name: choose(place, name, label, obs) for place, (name, label) in zip(places, FIELDS.items(), strict=False)
        }
        control = write(places[4], "control", "Control label", f"Labels of control cells, which are pooled. {several}")
        second = st.columns(4)
        chosen["matrix"] = choose(second[0], "matrix", "Matrix", matrices, new=False)
        chosen["genes"] = choose(second[1], "genes", "Gene names", [INDEX, *var], new=False)
        chosen["repeated"] = choose(second[2], "repeated", "Repeated genes", ["unique", "sum"], new=False)
        chosen["guides"] = choose(second[3], "guides", "Labels that are guides", ["pooled", "apart"], new=False)
        third = st.columns(3)
        pairs = third[0].text_input(
            "Pair separator",
            key=f"{key}_pairs",
            bind="query-params",
            help="What stands between two genes in a label, such as _; none: there are no pairs",
        )
        keep = write(third[1], "keep", "Labels to keep", f"Of cells without a call, to train on. {several}")
        leave_out = write(third[2], "leave_out", "Labels to leave out", f"Their cells are not read. {several}")
    return Columns(
        **chosen,
        control=control if len(control) > 1 else control[0] if control else None,
        pairs=pairs or None,
        keep=keep,
        leave_out=leave_out,
    )


def _allowed(path: str) -> Path:
    """Raises DataError for a path outside of the data folders."""
    found = absolute(path)
    if found != sample_path():
        check_allowed(found, current_settings())
    return found


def _use_sample() -> None:
    st.session_state["data_path"] = str(sample_path())


def _use_listed() -> None:
    if st.session_state["data_listed"]:
        st.session_state["data_path"] = st.session_state["data_listed"]
