"""Files of cells made anywhere: checked by path, mended, packaged and handed in from the page."""

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.errors import VccAppError
from vccapp.jobs.job import Job
from vccapp.jobs.store import JobStore
from vccapp.seasons.base import Phase, Season
from vccapp.submission.check import CheckResult
from vccapp.submission.mending.kept import delete_mended, list_mended, mended_folder
from vccapp.tasks.check import Check
from vccapp.tasks.mend import Mend
from vccapp.tasks.package_file import PackageFile
from vccapp.ui.kit.frame import errors_shown, show_error
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.submission.findings import count_findings, show_findings
from vccapp.ui.submission.handing_in import show_file_package
from vccapp.ui.submission.official import show_official
from vccapp.ui.submission.season import typed_path
from vccapp.wording import bytes_text, plain

RECENT = 50


def show_file_checks(record: Record, season: Season, phase: Phase) -> None:
    """Check a file by its path, show what was found, and package it once no check fails."""
    opened = bool(st.session_state.get("sub_file") or st.query_params.get("sub_file"))
    with st.expander("Check a file made elsewhere", icon=":material/fact_check:", expanded=opened, key="sub_elsewhere"):
        st.caption(plain(f"By the rules of {season.label}, {phase.label}. The file itself is never changed."))
        _show_mended()
        try:
            task = _choose_file(record, season, phase)
        except VccAppError as error:
            show_error(error)
            return
        if task is None:
            return
        job = _latest(task)
        busy = job is not None and job.active
        if st.button("Check the file", icon=":material/fact_check:", type="primary", key="sub_check", disabled=busy):
            with errors_shown():
                begin_job(task)
                st.rerun()
        _show_job(task)
        if job is not None and job.state == "succeeded":
            _show_result(task, job, season, phase)


def _show_mended() -> None:
    """What mended files take of the disk, and how it is free again."""
    kept = list_mended(current_settings())
    if not kept:
        return
    left, right = st.columns([4, 1.4], vertical_alignment="center")
    size = bytes_text(sum(size for _, size in kept))
    left.caption(plain(f"Mended files: {len(kept):,}, {size} in {mended_folder(current_settings())}"))
    with right.popover("Delete them", icon=":material/delete:", key="sub_mended_ask"):
        st.markdown("Deletes all files that were mended here, but those that a job works on; packages stay.")
        st.button("Delete for good", type="primary", key="sub_mended_delete", on_click=_delete_mended)


def _delete_mended() -> None:
    with JobStore(current_settings()) as store:
        jobs = [job for job in store.find(limit=RECENT) if job.active]
    busy = {Path(str(job.params[name])) for job in jobs for name in ("path", "output") if job.params.get(name)}
    delete_mended(current_settings(), busy=busy)


def _choose_file(record: Record, season: Season, phase: Phase) -> Check | None:
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    path = typed_path(
        left.text_input("File", key="sub_file", bind="query-params", placeholder="Path of an .h5ad or .vcc")
    )
    practice = right.toggle(
        "Practice",
        key="sub_file_practice",
        bind="query-params",
        help="Other genes and targets than the season's are allowed; the package is practice.",
    )
    compare = st.toggle(
        plain(f"Compare with {record.title}"),
        key="sub_file_compare",
        bind="query-params",
        help="Depth and control cells are held against those of the page's data: for files that were made of them.",
    )
    left, right = st.columns(2)
    genes = typed_path(
        left.text_input(
            "Gene list", key="sub_file_genes", bind="query-params", placeholder="Path; if empty, the season's own"
        )
    )
    counts = typed_path(
        right.text_input(
            "Cell numbers", key="sub_file_counts", bind="query-params", placeholder="Path; if empty, the season's own"
        )
    )
    if path is None:
        return None
    return Check(
        dataset=record.fingerprint if compare else "",
        path=path,
        season=season.name,
        phase=phase.name,
        genes=genes,
        counts=counts,
        practice=practice,
    )


def _latest(task: Check | PackageFile) -> Job | None:
    """The latest job that does the same."""
    params = task.model_dump(mode="json")
    with JobStore(current_settings()) as store:
        jobs = store.find(task=task.name, limit=RECENT)
    return next((job for job in jobs if job.params == params), None)


def _show_job(task: Check | PackageFile) -> None:
    """Its progress, or why it failed; nothing once it succeeded."""
    params = task.model_dump(mode="json")
    show_jobs(
        task=task.name,
        only=lambda job: job.params == params and job.state != "succeeded",
        limit=1,
        key=f"sub_{task.name}",
    )


def _show_result(task: Check, job: Job, season: Season, phase: Phase) -> None:
    """What was found in the file, or in the newest of those that were mended from it, and what can be done next."""
    try:
        changed = task.path.stat().st_mtime > (job.started or 0.0)
    except OSError:
        changed = True
    if changed:
        st.info("The file has changed since it was checked: check it again.")
        return
    found, steps = (job.result or {}).get("checks", []), []
    while (mended := _latest_mend(task, since=job)) is not None and mended.state == "succeeded":
        result = mended.result or {}
        steps += [*result["steps"], *result["refused"]]
        task, job, found = task.model_copy(update={"path": Path(result["path"])}), mended, result["checks"]
    for step in steps:
        st.markdown(f":material/build: **{plain(step['label'])}**: {plain(step['message'])}")
    if steps:
        st.caption(plain(f"Written to {task.path}"))
    checks = [CheckResult.model_validate(one) for one in found]
    failed, warnings = count_findings(checks)
    if failed:
        st.badge(f"{failed:d} checks failed", icon=":material/error:", color="red")
    else:
        st.badge(f"No check failed, {warnings:d} warn", icon=":material/check_circle:", color="green")
    _begin_mend(task)
    show_jobs(
        task=Mend.name,
        only=lambda one: one.params.get("path") == str(task.path) and one.state != "succeeded",
        limit=1,
        key="sub_mends",
    )
    busy = mended is not None and mended.active
    show_findings(checks, key="sub_found", mend=None if busy else _ask_mend)
    show_official(task.path, season, phase.name, genes=task.genes, key="sub_file_official")
    if not failed and task.path.suffix != ".vcc":
        _show_packaging(task, season, phase)


def _ask_mend(names: Sequence[str]) -> None:
    """Remember which mends were asked for; several are all that are safe."""
    st.session_state["sub_mend"] = tuple(names) if len(names) == 1 else ()


def _begin_mend(task: Check) -> None:
    """Start what `_ask_mend` remembers."""
    only = st.session_state.pop("sub_mend", None)
    if only is None:
        return
    output = mended_folder(current_settings()) / f"{_name_of(task)}-{time.time_ns():x}.h5ad"
    with errors_shown():
        begin_job(Mend(**task.model_dump(), output=output, only=only))
        st.rerun()


def _latest_mend(task: Check, *, since: Job) -> Job | None:
    """The latest job that mends this file by these rules, if it began after it was checked and its file is there."""
    params = task.model_dump(mode="json")
    with JobStore(current_settings()) as store:
        jobs = store.find(task=Mend.name, limit=RECENT)
    for job in jobs:
        same = {name: job.params.get(name) for name in params} == params
        if same and job.created >= since.created:
            return job if job.state != "succeeded" or Path(job.params["output"]).is_file() else None
    return None


def _show_packaging(checked: Check, season: Season, phase: Phase) -> None:
    """The button that packages the checked file, and then its package."""
    name = _name_of(checked)
    output = current_settings().submissions / name / f"{name}{season.container.suffix}"
    task = PackageFile(**checked.model_dump(), output=output)
    job = _latest(task)
    if job is not None and job.state == "succeeded" and output.is_file():
        show_file_package(name, job.result or {}, season, phase, practice=checked.practice)
        return
    busy = job is not None and job.active
    if st.button("Package the file", type="primary", icon=":material/package_2:", key="sub_pack", disabled=busy):
        with errors_shown():
            begin_job(task)
            st.rerun()
    _show_job(task)


def _name_of(checked: Check) -> str:
    """A name for the package of a file, another one for each version of it."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(checked.path.name).stem).strip("-._")[:40] or "file"
    state = f"{checked.model_dump_json()} {checked.path.stat().st_mtime_ns}"
    digest = hashlib.sha256(state.encode()).hexdigest()[:8]
    return f"{'practice-' if checked.practice else ''}{stem}-{digest}"
