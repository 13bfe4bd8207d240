"""A form that imports predicted cells of another tool as a run of the chosen dataset."""

import contextlib
import shlex

import streamlit as st

from vccapp.data.stores.bounded import run_bounded
from vccapp.data.workspace import Record, check_allowed, list_data_files
from vccapp.errors import JobError
from vccapp.jobs.store import JobStore
from vccapp.tasks.base import check_task
from vccapp.tasks.import_ import Import
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings, load_splits
from vccapp.ui.kit.show import reproduce
from vccapp.wording import plain

WHOLE_FILE = "all perturbations in the file"


def import_form(record: Record, *, key: str = "import") -> None:
    """Choose a file and start its import in the background; what was noticed about it is shown when it is done."""
    settings = current_settings()
    st.caption(
        "An h5ad file with cells predicted by STATE, Scouter, GEARS, CPA or any other tool, as counts or "
        "log1p values. It becomes a run that can be compared, scored and submitted like any other."
    )
    left, right = st.columns([3, 2])
    path = left.selectbox(
        "File of predicted cells",
        [str(path) for path in list_data_files(settings)],
        index=None,
        key=f"{key}_path",
        placeholder="Choose Or type a path",
        accept_new_options=True,
    )
    title = right.text_input("Title", key=f"{key}_title", placeholder="The file's name")
    splits = [split.name for split in load_splits(record)]
    split = right.selectbox(
        "Evaluate on split",
        [WHOLE_FILE, *splits],
        key=f"{key}_split",
        help="Without a split, one is created that holds out every perturbation in the file.",
    )
    with left.expander("Reading the file", icon=":material/tune:"):
        st.caption("Detected if empty.")
        first, second, third = st.columns(3)
        fields = {
            "perturbation": first.text_input("Perturbation column", key=f"{key}_column"),
            "control": second.text_input("Control label", key=f"{key}_control"),
            "matrix": third.text_input("Matrix", key=f"{key}_matrix", placeholder="X, layers/..., obsm/..."),
        }
    chosen = {name: text.strip() for name, text in fields.items() if text.strip()}
    if split != WHOLE_FILE:
        chosen["split"] = split
    task = Import(dataset=record.fingerprint, path=path or "FILE", run_title=title, **chosen)
    if st.button("Import", icon=":material/upload_file:", key=f"{key}_start", disabled=not path):
        with errors_shown():
            check_allowed(task.path, settings)
            run_bounded(check_task, task, settings, memory_bytes=settings.memory_bytes)
            begin_job(task)
            st.rerun()
    show_jobs(task=task.name, dataset=record.fingerprint, limit=2, key=f"{key}_jobs")
    _show_notes(record)
    reproduce(shlex.join(task.command() if path else ["vccapp", "eval", "import", "FILE", *task.command()[4:]]))


def _show_notes(record: Record) -> None:
    """What was noticed about the file imported last."""
    jobs = []
    with contextlib.suppress(JobError), JobStore(current_settings()) as store:
        jobs = [job for job in store.find(task=Import.name, limit=1) if job.params["dataset"] == record.fingerprint]
    if jobs and jobs[0].result:
        st.markdown("\n".join(f"- {plain(note)}" for note in jobs[0].result["notes"]))
