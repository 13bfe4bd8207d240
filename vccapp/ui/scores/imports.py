"""A form that imports predicted cells of another tool as a run of the chosen dataset."""

import shlex
from pathlib import Path

import streamlit as st

from vccapp.data.workspace import Record, check_allowed, list_data_files
from vccapp.ui.kit.frame import errors_told
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings, load_splits
from vccapp.ui.kit.show import reproduce

WHOLE_FILE = "all that the file has"


def import_form(record: Record, *, key: str = "import") -> None:
    """Choose a file and start its import in the background; what was noticed about it is shown when it is done."""
    settings = current_settings()
    st.caption(
        "An h5ad of predicted cells made by STATE, Scouter, GEARS, CPA or anything else: counts or log1p values. It "
        "becomes a run, to be compared, scored and submitted like one trained here."
    )
    left, right = st.columns([3, 2])
    path = left.selectbox(
        "File of predicted cells",
        [str(path) for path in list_data_files(settings)],
        index=None,
        key=f"{key}_path",
        placeholder="choose or type a path",
        accept_new_options=True,
    )
    title = right.text_input("Title", key=f"{key}_title", placeholder="the file's name")
    splits = [split.name for split in load_splits(record)]
    split = right.selectbox(
        "Judged on the held-out part of",
        [WHOLE_FILE, *splits],
        key=f"{key}_split",
        help="Without a split, one is made that holds out every perturbation of the file.",
    )
    with left.expander("How the file is read", icon=":material/tune:"):
        st.caption("Empty: found by itself.")
        first, second, third = st.columns(3)
        fields = {
            "perturbation": first.text_input("Perturbation column", key=f"{key}_column"),
            "control": second.text_input("Control label", key=f"{key}_control"),
            "matrix": third.text_input("Matrix", key=f"{key}_matrix", placeholder="X, layers/..., obsm/..."),
        }
    chosen = {name: text.strip() for name, text in fields.items() if text.strip()}
    if split != WHOLE_FILE:
        chosen["split"] = split
    if st.button("Import", icon=":material/upload_file:", key=f"{key}_start", disabled=not path):
        with errors_told():
            _start(record, path, title, chosen)
            st.rerun()
    show_jobs(task="import", limit=2, key=f"{key}_jobs")
    _show_notes()
    reproduce(shlex.join(import_words(record, path or "FILE", title, chosen)))


def import_words(record: Record, path: str, title: str, chosen: dict[str, str]) -> list[str]:
    """The command that imports a file."""
    options = {"split": "--split", "perturbation": "--pert-col", "control": "--control", "matrix": "--matrix"}
    words = ["vccapp", "eval", "import", path, "--dataset", record.fingerprint]
    words += ["--title", title] if title else []
    return words + [word for name, value in chosen.items() for word in (options[name], value)]


def _start(record: Record, path: str, title: str, chosen: dict[str, str]) -> None:
    """Start the job. Raises DataError or SpecError for what it would refuse."""
    from vccapp.models.imported import ImportedSpec
    from vccapp.training.import_prediction import check_import

    settings = current_settings()
    found = check_allowed(path, settings)
    spec = ImportedSpec(file=str(found), **{name: value for name, value in chosen.items() if name != "split"})
    check_import(spec, settings, dataset=record.fingerprint, split=chosen.get("split"))
    params = {"path": str(found), "dataset": record.fingerprint, "title": title} | chosen
    begin_job("import", params, title=f"Import {Path(path).name}")


def _show_notes() -> None:
    """What was noticed about the file imported last."""
    from vccapp.jobs.store import JobStore

    with JobStore(current_settings()) as store:
        jobs = store.list(task="import", limit=1)
    if jobs and jobs[0].result:
        st.markdown("\n".join(f"- {note}" for note in jobs[0].result["notes"]))
