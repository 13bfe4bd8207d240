"""Runs as rows of the page's table: which columns there are, and what stands in them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.evaluation.leaderboard.metric_names import label_metric
from vccapp.jobs.job import seconds_left
from vccapp.jobs.runs import Entry
from vccapp.models.base import label_model
from vccapp.training.runs.curves import best_validation
from vccapp.training.runs.naming import describe_params, short_id
from vccapp.training.runs.tables import baseline_of
from vccapp.wording import duration_text

COLUMNS = {
    "state": "State",
    "title": "Title",
    "model": "Model",
    "validation": "Validation",
    "baseline": "Baseline",
    "progress": "Progress",
    "left": "Time left",
    "parameters": "Parameters",
    "data": "Data",
    "split": "Split",
    "memory": "Memory (GB)",
    "device": "Device",
    "tags": "Tags",
    "note": "Note",
    "begun": "Begun",
    "took": "Took",
    "id": "Id",
}
FIRST = (
    "state",
    "title",
    "model",
    "validation",
    "baseline",
    "progress",
    "left",
    "parameters",
    "split",
    "tags",
    "begun",
)
"""Columns that are shown at first."""


def make_rows(entries: Sequence[Entry], titles: Mapping[str, str], *, metric: str) -> pd.DataFrame:
    """One row an entry, all COLUMNS. titles : of datasets by fingerprint; metric : whose validation is shown"""
    now = time.time()
    return pd.DataFrame([_row(entry, titles, metric, now) for entry in entries], columns=list(COLUMNS))


def format_columns(metric: str) -> dict[str, Any]:
    """`column_config` of COLUMNS."""
    score = label_metric(metric)
    mean = "the best so far while it trains"
    return {name: st.column_config.Column(label) for name, label in COLUMNS.items()} | {
        "title": st.column_config.TextColumn("Title", width="medium", pinned=True),
        "parameters": st.column_config.TextColumn("Parameters", width="medium"),
        "progress": st.column_config.ProgressColumn("Progress", format="percent", width="small"),
        "validation": st.column_config.NumberColumn(
            f"{score}", format="%.4f", help=f"Mean over the validation perturbations; {mean}"
        ),
        "baseline": st.column_config.NumberColumn(
            "Baseline", format="%.4f", help=f"{score} of the mean of the training perturbations, on the same"
        ),
        "memory": st.column_config.NumberColumn("Memory (GB)", format="%.2f", help="Planned for the training"),
        "tags": st.column_config.ListColumn("Tags"),
        "begun": st.column_config.DatetimeColumn("Begun", format="D MMM HH:mm"),
    }


def _row(entry: Entry, titles: Mapping[str, str], metric: str, now: float) -> list[Any]:
    run, job, spec = entry.run, entry.job, entry.spec
    left = None if job is None or not entry.active else seconds_left(job, now)
    split = run.split.name if run is not None else "" if spec is None else spec.split.rpartition("/")[2]
    pinned = "\N{PUSHPIN} " if run is not None and run.notes.pinned else ""
    values: dict[str, Any] = {
        "state": entry.state,
        "title": pinned + (entry.title or (short_id(entry.id))),
        "model": "" if spec is None else label_model(spec.model),
        "validation": None if run is None else best_validation(run, metric),
        "baseline": None if run is None else baseline_of(run, metric),
        "progress": job.fraction if job is not None and entry.active else None,
        "left": "" if left is None else duration_text(left),
        "parameters": "" if spec is None else describe_params(spec),
        "data": "" if spec is None else titles.get(spec.dataset, f"{spec.dataset} (not known any more)"),
        "split": split,
        "memory": planned_memory(entry),
        "device": describe_device(entry),
        "tags": [] if run is None else list(run.notes.tags),
        "note": "" if run is None else run.notes.note,
        "begun": entry.created.astimezone().replace(tzinfo=None),
        "took": took(entry, now),
        "id": entry.id,
    }
    return list(values.values())


def describe_device(entry: Entry) -> str:
    """cpu, cuda or 2 x cuda; empty where that is not known."""
    if entry.run is None or not entry.run.device:
        return ""
    times = f"{entry.run.devices} x " if entry.run.devices > 1 else ""
    return times + entry.run.device


def planned_memory(entry: Entry) -> float | None:
    """GB that its last job planned with; None where that is not known."""
    planned = 0 if entry.job is None else entry.job.needs.memory_bytes
    return planned / 1e9 if planned else None


def took(entry: Entry, now: float) -> str:
    """How long its last job has worked."""
    job = entry.job
    if job is None or job.started is None:
        run = entry.run
        return "" if run is None or run.ended is None else duration_text((run.ended - run.created).total_seconds())
    return duration_text((job.ended or now) - job.started)
