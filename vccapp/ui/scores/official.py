"""Starting the official scorers from a page: which run, how many cells, what it takes."""

import shlex

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.scorers.base import cell_scorers
from vccapp.stats.index import Index
from vccapp.tasks.score import ScoreRun
from vccapp.training.record import Part
from vccapp.training.results.score_run import count_cells
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.runs import load_runs, pick_run
from vccapp.wording import plain


def show_official(record: Record, index: Index, *, part: Part) -> str:
    """Run, scorer and cells, the memory that takes, and the button; returns the command that does the same."""
    st.caption(
        "The official scorers need cells, so the run's cells are generated first. The scorers hold them as "
        "dense matrices, so memory grows with the number of cells."
    )
    left, right = st.columns(2)
    run = pick_run("Run", load_runs(record), key="official_run", place=left)
    official = cell_scorers(official=True)
    scorer = right.selectbox(
        "Official scorer",
        list(official),
        key="official_scorer",
        bind="query-params",
        format_func=lambda key: official[key].label,
    )
    cells, n_controls = count_cells(index, run, part)
    largest = max(cells, default=1)
    left, right = st.columns(2)
    most = int(
        left.number_input("Maximum cells per perturbation", 2, max(largest, 2), max(largest, 2), key="official_cells")
    )
    controls = int(
        right.number_input("Maximum control cells", 2, max(n_controls, 2), max(n_controls, 2), key="official_controls")
    )
    limits = {"max_cells": most} if most < largest else {}
    limits |= {"max_controls": controls} if controls < n_controls else {}
    n_cells = sum(min(n, most) for n in cells) + min(controls, n_controls)
    task = ScoreRun(dataset=record.fingerprint, run_id=run.id, part=part, scorer=scorer, **limits)
    settings = current_settings()
    needed, allowed = task.needs(settings).memory_bytes, settings.memory_bytes
    st.markdown(
        f"{len(cells)} perturbations, {n_cells:,} cells on each side: about **{needed / 1e9:.1f} GB** of "
        f"memory; the limit is {allowed / 1e9:.1f} GB (VCCAPP_MEMORY_GB)."
    )
    if needed > allowed:
        st.warning("Use fewer cells or controls; both sides get the same number.", icon=":material/memory:")
    label = f"Score with {plain(scorer)}"
    if st.button(label, icon=":material/play_arrow:", key="official_start", disabled=needed > allowed or not cells):
        with errors_shown():
            task.check(settings)
            begin_job(task)
            st.rerun()
    show_jobs(task=task.name, dataset=record.fingerprint, limit=3, key="official_jobs")
    return shlex.join(task.command())
