"""The training that was begun last, on the page Train: how far it is and its first curves; the rest is on Runs."""

from contextlib import suppress

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.errors import JobError
from vccapp.jobs.local import stop_job
from vccapp.jobs.runs import Entry, ids_of_active
from vccapp.ui.kit.frame import page_link
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.runs.choice import CHOSEN, read_entries
from vccapp.ui.runs.curves import COLUMNS, show_curves
from vccapp.ui.runs.one import draw_head

MOST = 2
"""Runs that are shown."""


def show_newest(record: Record) -> None:
    """Those that wait or are trained, or the last one; nothing where there is none."""

    def read() -> list[Entry]:
        entries = read_entries(record)
        return ([entry for entry in entries if entry.active] or entries[:1])[:MOST]

    def draw(entries: list[Entry]) -> None:
        if not entries:
            st.caption("This dataset has no runs yet.")
            return
        st.subheader("Last started", anchor=False)
        for entry in entries:
            with st.container(border=True, key=f"train_newest_{entry.id}"):
                draw_head(entry)
                if entry.run is not None and entry.active:
                    show_curves([entry.run], {entry.id: entry.id}, key=f"train_{entry.id}", most=COLUMNS)
                if entry.active and entry.job is not None:
                    st.button("Stop", key=f"train_stop_{entry.id}", on_click=_stop, args=(entry.job.id,))
                page_link("runs", "Open on Runs", data=record.fingerprint, **{CHOSEN: entry.id})

    draw_live(read, draw, watch=ids_of_active)


def _stop(job_id: str) -> None:
    with suppress(JobError):  # what cannot be read is told on Jobs
        stop_job(current_settings(), job_id)
