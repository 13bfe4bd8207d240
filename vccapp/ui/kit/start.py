"""Before there is anything to show: the demo that is made on the first start, and a dataset without an index."""

import contextlib

import streamlit as st

from vccapp.data.lock import hold_lock
from vccapp.data.workspace import Record, list_datasets
from vccapp.errors import DataError, JobError
from vccapp.jobs.job import Job
from vccapp.jobs.store import JobStore
from vccapp.records import Unreadable
from vccapp.settings import Settings
from vccapp.stats.index import Index, has_index
from vccapp.tasks.demo import Demo
from vccapp.tasks.index import Index as IndexTask
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.jobs import begin_job, ids_of, list_active, progress_text, show_failure
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings, load_index
from vccapp.ui.kit.show import show_unreadable
from vccapp.wording import plain


def begin_first_start(settings: Settings) -> None:
    """Start making the demo, once: not again while it is made, nor after it failed or was stopped."""
    # What starts or shows jobs says that the workspace cannot be used. Other servers may stand on it, too.
    with contextlib.suppress(JobError, OSError), hold_lock(settings.home / ".first.lock"):
        with JobStore(settings) as store:
            tried = store.find(task="demo", limit=1)
        if not tried:
            begin_job(Demo())


def need_dataset() -> Record:
    """The dataset chosen in the sidebar. Where there is none yet, show how the demo is being made, and end the page."""
    record = st.session_state.get("data_record")
    if record is None:
        show_start(current_settings())
        st.stop()
    return record


def need_context() -> tuple[Record, Index]:
    """The chosen dataset, and its index within the chosen context; see `need_index`."""
    record, index = need_index()
    return record, index.within(current_context())


def need_index() -> tuple[Record, Index]:
    """The chosen dataset and its index. Where it has none yet, offer to build it, and end the page."""
    record = need_dataset()
    if not has_index(record.index_folder):
        _show_why_unreadable(record)
        show_missing_index(record, current_settings())
        st.stop()
    return record, load_index(record.index_folder)


def show_start(settings: Settings) -> None:
    """What happens while the workspace has no dataset."""
    with JobStore(settings) as store:
        jobs = store.find(task="demo", limit=1)
    show_unreadable(list_datasets(settings).unreadable)
    job = jobs[0] if jobs else None
    if job is not None and job.active:
        _show_making(job, "Creating the demo", "Simulated cells that fill every page. This takes about 10 s.")
        return
    if job is not None:
        show_failure(job)
    st.info("This workspace has no dataset yet. Open your own file on the page *Data files*, or create the demo.")
    if st.button("Create the demo", type="primary", icon=":material/science:"):
        begin_job(Demo())
        st.rerun()


def show_missing_index(record: Record, settings: Settings) -> None:
    """A dataset whose statistics are not computed yet: their progress, or the button that starts them."""
    task = IndexTask(paths=record.paths, columns=record.columns)
    with JobStore(settings) as store:
        paths = task.model_dump(mode="json")["paths"]
        jobs = [job for job in store.find(task=task.name, limit=50) if job.params["paths"] == paths]
    active = [job for job in list_active() if job in jobs or job.task == Demo.name]
    if active:
        _show_making(
            active[0],
            f"Computing the statistics of {record.title}",
            "One pass over the cells, then differential expression.",
        )
        return
    if jobs and jobs[0].state != "succeeded":
        show_failure(jobs[0])
    st.info(f"The statistics of {plain(record.title)} have not been computed yet. This is needed once.")
    if st.button("Compute the statistics", type="primary", icon=":material/play_arrow:", key="start_index"):
        begin_job(task)
        st.rerun()


def _show_why_unreadable(record: Record) -> None:
    """Why an index that is there cannot be used: it is damaged, or of a newer version. It can be computed anew."""
    if record.has_index:
        try:
            load_index(record.index_folder)
        except DataError as error:
            show_unreadable([Unreadable(record.index_folder, error)])


def _show_making(job: Job, title: str, meaning: str) -> None:
    with st.container(border=True, key="making"):
        st.subheader(plain(title), anchor=False)
        st.caption(plain(meaning))

        def look() -> list[Job]:
            with JobStore(current_settings()) as store:
                return [store.get(job.id)]

        def draw(jobs: list[Job]) -> None:
            for now in jobs:
                st.progress(now.fraction, text=plain(progress_text(now)))

        draw_live(look, draw, watch=ids_of)
