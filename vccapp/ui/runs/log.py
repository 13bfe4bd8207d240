"""The log of a run's last job: its end, a search in all of it, and the whole of it as a file."""

import streamlit as st

from vccapp.jobs.runs import Entry
from vccapp.jobs.store import JobStore
from vccapp.ui.kit.loaders import current_settings

LAST_BYTES, SEARCHED_BYTES = 12_000, 5_000_000
MOST_LINES = 500


def show_log(entry: Entry) -> None:
    """The end of the log, or the lines that a search finds."""
    if entry.job is None:
        st.caption("No job of this workspace has trained it, so there is no log.")
        return
    job_id = entry.job.id
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    text = left.text_input("Search the log", key="runs_log_search", bind="query-params")
    with JobStore(current_settings()) as store:
        log = store.read_log(job_id, last=SEARCHED_BYTES if text else LAST_BYTES)
        path = store.log_path(job_id)
    right.download_button(
        "Download",
        data=lambda: path.read_bytes() if path.is_file() else b"",
        file_name=f"{entry.id}.log.txt",
        mime="text/plain",
        key="runs_log_get",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )
    if text:
        found = [line for line in log.splitlines() if text.lower() in line.lower()]
        st.caption(f"{len(found):,} lines" + (f", the last {MOST_LINES} of them" if len(found) > MOST_LINES else ""))
        log = "\n".join(found[-MOST_LINES:]) or "No line has this text."
    st.code(log or "The log is empty.", language=None, height=360)
