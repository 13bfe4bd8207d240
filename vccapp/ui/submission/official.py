"""The official packager's own verdict beside ours, where it is installed."""

from datetime import timedelta
from pathlib import Path

import streamlit as st

from vccapp.errors import VccAppError
from vccapp.jobs.job import Job
from vccapp.jobs.store import JobStore
from vccapp.seasons.base import Season
from vccapp.seasons.opened import find_season
from vccapp.submission.packing.official import official_tool
from vccapp.tasks.official import Official
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.wording import plain

RECENT = 50
REMEMBERED = timedelta(minutes=10)
"""Asking a tool for its version starts a program."""


def show_official(path: Path, season: Season, phase: str | None, *, genes: Path | None, key: str) -> None:
    """A button that asks the official packager about a file, and what it said of this version of it."""
    try:
        tool = _find_tool(season.name)
    except VccAppError as error:
        st.caption(plain(f"The official packager cannot be asked: {error}"))
        return
    task = Official(path=path, season=season.name, phase=phase, genes=genes)
    job = _latest(task)
    left, right = st.columns([1, 2], vertical_alignment="center")
    busy = job is not None and job.active
    if left.button(plain(f"Ask {tool}"), icon=":material/gavel:", key=key, disabled=busy, width="stretch"):
        with errors_shown():
            begin_job(task)
            st.rerun()
    if job is not None and job.state == "succeeded" and job.result:
        accepted = job.result["accepted"]
        right.badge("Accepted" if accepted else "Refused", color="green" if accepted else "red")
        right.markdown(plain(f"{job.result['tool']}: {job.result['said']}"))
    elif job is None:
        right.caption("The official tool looks at the file itself; nothing is uploaded.")
    show_jobs(
        task=task.name,
        only=lambda one: one.params == task.model_dump(mode="json") and one.state != "succeeded",
        limit=1,
        key=f"{key}_jobs",
    )


@st.cache_data(ttl=REMEMBERED, show_spinner=False)
def _find_tool(season: str) -> str:
    return official_tool(find_season(season, current_settings()))


def _latest(task: Official) -> Job | None:
    """The latest job that asked the same of the file as it is now."""
    try:
        changed = task.path.stat().st_mtime
    except OSError:
        return None
    with JobStore(current_settings()) as store:
        jobs = store.find(task=task.name, limit=RECENT)
    params = task.model_dump(mode="json")
    return next((job for job in jobs if job.params == params and job.created >= changed), None)
