"""Runs on a page: which there are, what they predict, how they score beside the baselines."""

import pandas as pd
import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
from vccapp.models.base import label_model
from vccapp.records import Listing
from vccapp.references import CEILING, FULL_NAMES
from vccapp.training import RunRecord, list_runs
from vccapp.training.record import Part
from vccapp.training.results.board import PARTS
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_unreadable
from vccapp.wording import plain

OWN = "this run"


def load_runs(record: Record, *, finished: bool = True) -> Listing[RunRecord]:
    """Runs on a dataset, the newest first; unreadable ones are of any dataset."""
    runs = list_runs(current_settings())
    own = [run for run in runs if run.spec.dataset == record.fingerprint]
    return Listing([run for run in own if run.state == "finished"] if finished else own, runs.unreadable)


def run_label(run: RunRecord) -> str:
    """How a run is called in a list."""
    return f"{run.spec.title or label_model(run.spec.model)} · {run.split.name} · {run.created:%d %b %H:%M}"


def choose_run(record: Record, *, key: str) -> RunRecord:
    """A selectbox of finished runs, the newest first. Where there is none, say how to get one, and end the page."""
    found = load_runs(record)
    show_unreadable(found.unreadable)
    runs = {run.id: run for run in found}
    if not runs:
        from vccapp.ui.kit.frame import page_link

        st.info(
            f"There is no finished run on {plain(record.title)} yet. "
            "Train a model first; the mean baseline trains in seconds."
        )
        page_link("train", "Go to Train")
        st.stop()
    chosen = st.selectbox("Run", list(runs), key=key, bind="query-params", format_func=lambda id: run_label(runs[id]))
    return runs[chosen]


def choose_part(*, key: str) -> Part:
    """The held-out part whose scores are shown."""
    return choose_one("Scored on", PARTS, key=key, default="test", linked=False)


def run_table(runs: list[RunRecord], *, part: Part) -> pd.DataFrame:
    """One row a run: title, model, split, state and mean scores on a part."""
    scores = list_pseudobulk_metrics()
    rows = []
    for run in runs:
        own = run.metrics.get(part, {}).get(run.spec.model, {})
        named = {"run": run.id, "title": run.spec.title, "model": run.spec.model, "split": run.split.name}
        rows.append(named | {"state": run.state} | {name: own.get(name) for name in scores})
    return pd.DataFrame(rows, columns=["run", "title", "model", "split", "state", *scores])


def score_table(run: RunRecord, *, part: Part) -> pd.DataFrame:
    """Mean scores of a run on a part, below those of the baselines and the ceiling: columns model, then the scores."""
    rows = [
        {"model": f"{OWN}: {_label(name)}" if name == run.spec.model else _label(name)} | scores
        for name, scores in run.metrics.get(part, {}).items()
    ]
    return pd.DataFrame(rows, columns=["model", *list_pseudobulk_metrics()])


def _label(name: str) -> str:
    return FULL_NAMES[CEILING].capitalize() if name == CEILING else label_model(name)
