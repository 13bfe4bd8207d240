"""Jobs on a page: start one, see it live, read its log, stop it."""

import time
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.jobs.local import reconcile, start_job, stop_job
from vccapp.jobs.store import Job, JobStore, seconds_left
from vccapp.ui.kit.loaders import current_settings
from vccapp.wording import duration_text

REFRESH_SECONDS = 2.0
LOG_BYTES = 6_000
MOST_READ = 100
"""Jobs among which those of a dataset are looked for."""
BADGES = {
    "queued": ":gray-badge[:material/hourglass_empty: queued]",
    "starting": ":blue-badge[:material/play_circle: starting]",
    "running": ":blue-badge[:material/play_circle: running]",
    "stopping": ":orange-badge[:material/stop_circle: stopping]",
    "succeeded": ":green-badge[:material/check_circle: succeeded]",
    "failed": ":red-badge[:material/error: failed]",
    "stopped": ":gray-badge[:material/stop_circle: stopped]",
    "lost": ":red-badge[:material/link_off: lost]",
}


def progress_text(job: Job) -> str:
    """What an active job does now, and how long it still needs."""
    if job.state == "queued":
        return "Waiting for a free slot"
    left = seconds_left(job, time.time())
    parts = [f"{job.fraction:.0%}", job.message or job.state, f"{duration_text(left)} left" if left else ""]
    return " · ".join(part for part in parts if part)


def begin_job(task: str, params: dict[str, Any], *, title: str) -> Job:
    """Start a job in the background."""
    return start_job(current_settings(), task, params, title=title)


def show_failure(job: Job) -> None:
    """Why a job has not come to its end."""
    st.error(f"{job.title}: {job.state}. {job.reason}", icon=":material/error:")


def show_jobs(
    *, task: str | None = None, dataset: str | None = None, limit: int = 20, key: str, heading: str = ""
) -> None:
    """The latest jobs (of a task, of a dataset) with progress, log and a stop button; live while one is active."""
    jobs = _latest(task, dataset, limit)
    if jobs and heading:
        st.subheader(heading, anchor=False)
    active = any(job.active for job in jobs)
    st.fragment(_draw_jobs, run_every=REFRESH_SECONDS if active else None)(task, dataset, limit, key, active)


def job_table(jobs: list[Job]) -> pd.DataFrame:
    """One row a job, for reading and for its CSV."""
    now = time.time()
    rows = [
        {
            "job": job.id,
            "task": job.task,
            "title": job.title,
            "state": job.state,
            "created": pd.Timestamp(job.created, unit="s"),
            "seconds": round((job.ended or now) - job.started, 1) if job.started else None,
            "reason": job.reason,
        }
        for job in jobs
    ]
    return pd.DataFrame(rows, columns=["job", "task", "title", "state", "created", "seconds", "reason"])


def _latest(task: str | None, dataset: str | None, limit: int) -> list[Job]:
    reconcile(current_settings())
    with JobStore(current_settings()) as store:
        jobs = store.list(task=task, limit=limit if dataset is None else MOST_READ)
    return [job for job in jobs if dataset is None or job.params.get("dataset", dataset) == dataset][:limit]


def _draw_jobs(task: str | None, dataset: str | None, limit: int, key: str, was_active: bool) -> None:
    jobs = _latest(task, dataset, limit)
    if was_active and not any(job.active for job in jobs):
        st.rerun()
    for job in jobs:
        _draw_job(job, key)


def _draw_job(job: Job, key: str) -> None:
    with st.container(border=True, key=f"{key}_{job.id}"):
        head, action = st.columns([8, 1], vertical_alignment="center")
        took = f" · {duration_text((job.ended or time.time()) - job.started)}" if job.started else ""
        begun = time.strftime("%d %b %H:%M", time.localtime(job.created))
        head.markdown(f"**{job.title}** {BADGES[job.state]}  \n:small[:gray[{begun}{took} · {job.id}]]")
        if job.active:
            action.button("Stop", key=f"{key}_stop_{job.id}", on_click=_stop, args=(job.id,), width="stretch")
            st.progress(job.fraction, text=progress_text(job))
        elif job.reason and job.state != "succeeded":
            st.caption(job.reason)
        log = st.expander("Log", key=f"{key}_log_{job.id}", on_change="rerun")
        if log.open:
            with JobStore(current_settings()) as store:
                log.code(store.read_log(job.id, last=LOG_BYTES) or "The log is empty.", language=None, height=220)


def _stop(job_id: str) -> None:
    stop_job(current_settings(), job_id)
