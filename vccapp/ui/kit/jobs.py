"""Jobs on a page: start one, see it live, read its log, stop it."""

import contextlib
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vccapp.errors import JobError, VccAppError
from vccapp.jobs.job import ACTIVE, Job, seconds_left, silent_seconds
from vccapp.jobs.local import list_queue, move_in_queue, reconcile, start_again, start_job, stop_all, stop_job
from vccapp.jobs.store import JobStore
from vccapp.records import Unreadable
from vccapp.tasks.base import Task
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_unreadable
from vccapp.wording import duration_text, plain

LOG_BYTES = 6_000
MOST_READ = 100
"""Jobs among which those to show are looked for."""
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
        return job.waits or "About to start"
    if (quiet := silent_seconds(job)) is not None:
        return f"No sign of life for {duration_text(quiet)}: the work hangs or is frozen. Stop ends it"
    left = seconds_left(job, time.time())
    parts = [f"{job.fraction:.0%}", job.message or job.state, f"{duration_text(left)} left" if left else ""]
    return " · ".join(part for part in parts if part)


def begin_job(task: Task, *, after: Iterable[str] = ()) -> Job:
    """Start a job in the background, once those of `after` have succeeded."""
    return start_job(current_settings(), task, after=after)


def list_active() -> list[Job]:
    """The jobs that have not ended: those that work, then those that wait, in their order."""
    try:
        return list_queue(current_settings())
    except JobError:  # the page Jobs says it; the others stand
        return []


def ids_of(jobs: Iterable[Job]) -> tuple[str, ...]:
    """The ids of those that can still change."""
    return tuple(job.id for job in jobs if job.active)


def tell_ended(active: Iterable[Job]) -> None:
    """A notice of each job that was active when this was last asked, and no longer is. active : those that are now"""
    now = {job.id for job in active}
    before: set[str] = st.session_state.get("jobs_active", set())
    st.session_state["jobs_active"] = now
    if before - now:
        with contextlib.suppress(JobError), JobStore(current_settings()) as store:
            for job_id in sorted(before - now):
                job = store.get(job_id)
                if not job.active:
                    icon = ":material/check_circle:" if job.state == "succeeded" else ":material/error:"
                    st.toast(plain(f"{job.title}: {job.state}"), icon=icon, duration="long")


def show_failure(job: Job) -> None:
    """Why a job has not come to its end."""
    st.error(plain(f"{job.title}: {job.state}. {job.reason}"), icon=":material/error:")


def show_jobs(
    *,
    task: str | Iterable[str] = (),
    dataset: str = "",
    only: Callable[[Job], bool] = lambda job: True,
    limit: int = 20,
    key: str,
    heading: str = "",
) -> None:
    """The latest jobs (of some tasks, of a dataset, or `only` some) with progress, log and a stop button; live while
    one is active.
    """

    def draw(jobs: list[Job]) -> None:
        if heading and jobs:
            st.subheader(plain(heading), anchor=False)
        for job in jobs:
            _draw_job(job, key)

    draw_live(lambda: _latest(task, dataset, only, limit), draw, watch=ids_of)


def show_queue() -> None:
    """How many jobs work and wait, and a button that stops them all."""
    draw_live(list_active, _draw_queue, watch=ids_of)


def _draw_queue(jobs: list[Job]) -> None:
    if len(jobs) < 2:
        return
    left, right = st.columns([6, 1], vertical_alignment="center")
    waiting = sum(job.state == "queued" for job in jobs)
    left.caption(
        f"{len(jobs) - waiting:,} running, {waiting:,} waiting. Each starts in order, when memory and processors allow."
    )
    right.button("Stop all", key="jobs_stop_all", on_click=_stop_all, width="stretch")


def _stop_all() -> None:
    stop_all(current_settings())


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
            "seconds": round(max((job.ended or now) - job.started, 0.0), 1) if job.started else None,
            "reason": job.reason,
        }
        for job in jobs
    ]
    return pd.DataFrame(rows, columns=["job", "task", "title", "state", "created", "seconds", "reason"])


def _latest(task: str | Iterable[str], dataset: str, only: Callable[[Job], bool], limit: int) -> list[Job]:
    try:
        reconcile(current_settings())
        with JobStore(current_settings()) as store:
            jobs = store.find(task=task, limit=max(limit, MOST_READ))
            known = {job.id for job in jobs}
            older = [job for job in store.find(task=task, state=ACTIVE) if job.id not in known]
    except JobError as error:
        show_unreadable([Unreadable(current_settings().jobs_db, error)])
        return []
    show_unreadable(jobs.unreadable)
    found = [job for job in (*older, *jobs) if only(job) and (not dataset or _dataset_of(job) in ("", dataset))]
    found.sort(key=lambda job: (not job.active, job.state == "queued", job.place if job.active else -job.created))
    return found[:limit]


def _dataset_of(job: Job) -> str:
    """The data that a job is about; empty where that is not known."""
    try:
        return job.read_task().dataset
    except VccAppError:  # of another version
        return ""


def _draw_job(job: Job, key: str) -> None:
    with st.container(border=True, key=f"{key}_{job.id}"):
        head, action = st.columns([4, 1], vertical_alignment="center")
        took = f" · {duration_text(max((job.ended or time.time()) - job.started, 0.0))}" if job.started else ""
        begun = time.strftime("%d %b %H:%M", time.localtime(job.created))
        head.markdown(
            f"**{plain(job.title)}** {BADGES[job.state]}  \n:small[:gray[{plain(begun + took)} · {plain(job.id)}]]"
        )
        _draw_action(job, action, key)
        if job.active:
            st.progress(job.fraction, text=plain(progress_text(job)))
        elif job.reason and job.state != "succeeded":
            st.caption(plain(job.reason))
        log = st.expander("Log", key=f"{key}_log_{job.id}", on_change="rerun")
        if log.open:
            with JobStore(current_settings()) as store:
                log.code(store.read_log(job.id, last=LOG_BYTES) or "The log is empty.", language=None, height=220)


def _draw_action(job: Job, place: DeltaGenerator, key: str) -> None:
    """What can be done with a job in its state."""
    name, act, change = {
        "queued": ("More", "", None),
        "stopping": ("Force stop", "force", _force),
        "failed": ("Start again", "again", _again),
        "lost": ("Start again", "again", _again),
        "stopped": ("Start again", "again", _again),
    }.get(job.state, ("Stop", "stop", _stop))
    if job.state == "queued":
        with place.popover(name, width="stretch"):
            for text, first in (("Start first", True), ("Start last", False)):
                st.button(text, key=f"{key}_{first}_{job.id}", on_click=_move, args=(job.id, first), width="stretch")
            st.button("Stop", key=f"{key}_stop_{job.id}", on_click=_stop, args=(job.id,), width="stretch")
    elif job.state != "succeeded":
        place.button(name, key=f"{key}_{act}_{job.id}", on_click=change, args=(job.id,), width="stretch")


def _stop(job_id: str) -> None:
    stop_job(current_settings(), job_id)


def _force(job_id: str) -> None:
    stop_job(current_settings(), job_id, force=True)


def _move(job_id: str, first: bool) -> None:
    with suppress(JobError):  # it has started meanwhile
        move_in_queue(current_settings(), job_id, first=first)


def _again(job_id: str) -> None:
    """What is refused is said at the next drawing of the page."""
    try:
        start_again(current_settings(), job_id)
    except VccAppError as error:
        st.toast(plain(str(error)), icon=":material/error:")
