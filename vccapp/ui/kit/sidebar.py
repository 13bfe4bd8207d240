"""The sidebar: which dataset the pages show, whether it is simulated, and what works in the background."""

import streamlit as st

from vccapp.data.workspace import Record, list_datasets
from vccapp.jobs.job import Job
from vccapp.ui.kit.context import choose_context
from vccapp.ui.kit.forms import named
from vccapp.ui.kit.jobs import ids_of, list_active, progress_text, tell_ended
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings, load_source_fault
from vccapp.ui.kit.start import begin_first_start
from vccapp.wording import plain

MOST_SHOWN = 3


def draw_sidebar() -> None:
    """Choose the dataset (URL parameter `data`) and note it for the page; show running jobs."""
    settings = current_settings()
    listed = list_datasets(settings)
    records = {record.fingerprint: record for record in listed}
    if not (records or listed.unreadable):
        begin_first_start(settings)
    with st.sidebar:
        st.session_state["data_record"] = record = _choose(records)
        choose_context(record)
        if note := settings.memory_note:
            st.warning(plain(f"{note}."), icon=":material/memory:")
        draw_live(list_active, _draw_jobs, watch=ids_of)


def dataset_line() -> str:
    """A badge for a page's heading when the data are simulated; empty otherwise."""
    record = st.session_state.get("data_record")
    return " :orange-badge[:material/science: SIMULATED]" if record is not None and record.simulated else ""


def _choose(records: dict[str, Record]) -> Record | None:
    """The chosen dataset. Its title stands in the URL, as of every widget that is bound to it; a link may also name
    its fingerprint.
    """
    if not records:
        return None
    names = _name(records)
    if st.session_state.get("data") not in names:
        asked = st.query_params.get("data")
        found = asked if asked in names else next((key for key, name in names.items() if name == asked), None)
        if asked is not None and found is None:
            st.warning(
                f"The link names a dataset ({plain(asked)}) that this workspace does not have; "
                "its file may have changed. Another one is shown.",
                icon=":material/link_off:",
            )
        found = found or next(iter(names))
        if "data" not in st.session_state:  # the default goes into the URL too, for it changes when a dataset is added
            st.query_params["data"] = names[found]
        st.session_state["data"] = found
    chosen = st.selectbox(
        "Dataset", list(names), index=None, key="data", bind="query-params", on_change=_keep, format_func=named(names)
    )
    record = records.get(chosen or "", records[next(iter(names))])  # none: Back to a view whose URL names no dataset
    kind = ":orange-badge[:material/science: SIMULATED]" if record.simulated else ":green-badge[Measured cells]"
    st.caption(f"{kind} {record.schema.n_cells:,} cells x {record.schema.n_genes:,} genes")
    if fault := load_source_fault(record, record.fingerprint):
        st.warning(plain(fault), icon=":material/sync_problem:")
    return record


def _keep() -> None:
    """A choice that was cleared stays what it was."""
    if st.session_state["data"] is None:
        st.session_state["data"] = st.session_state["data_record"].fingerprint


def _name(records: dict[str, Record]) -> dict[str, str]:
    """Title of each dataset, with its fingerprint where two are called alike."""
    titles = [record.title for record in records.values()]
    return {
        key: f"{record.title} ({key})" if titles.count(record.title) > 1 else record.title
        for key, record in records.items()
    }


def _draw_jobs(jobs: list[Job]) -> None:
    """A line for each job that works, or else for the first that waits, and how many more there are.

    A notice, once, of each that was among them and has ended.
    """
    tell_ended(jobs)
    shown = [job for job in jobs if job.state != "queued"][:MOST_SHOWN] or jobs[:1]
    for job in shown:
        st.progress(job.fraction, text=f"{plain(job.title)}  \n:small[{plain(progress_text(job))}]")
    if more := len(jobs) - len(shown):
        st.caption(f"{more:,} more in the queue")
