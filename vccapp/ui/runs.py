"""Runs on a page: which there are, what they predict, how they score beside the baselines."""

import pandas as pd
import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.compare import SCORES, compute_scores
from vccapp.models.base import MODELS, make_model
from vccapp.stats.index import Index
from vccapp.training import RunRecord, list_runs, load_run
from vccapp.training.run import BASELINES
from vccapp.ui.loaders import current_settings, load_index

OWN = "this run"


def load_runs(record: Record, *, finished: bool = True) -> list[RunRecord]:
    """Runs on a dataset, the newest first."""
    runs = [run for run in list_runs(current_settings()) if run.spec.dataset == record.fingerprint]
    return [run for run in runs if run.state == "finished"] if finished else runs


def run_label(run: RunRecord) -> str:
    """How a run is called in a list."""
    return f"{run.spec.title or MODELS[run.spec.model].label} · {run.split.name} · {run.created:%d %b %H:%M}"


def choose_run(record: Record, *, key: str) -> RunRecord:
    """A selectbox of finished runs, the newest first. Where there is none, say how to get one, and end the page."""
    runs = {run.id: run for run in load_runs(record)}
    if not runs:
        from vccapp.ui.frame import page_link

        st.info(f"There is no finished run on {record.title} yet. Train a model first; the mean takes seconds.")
        page_link("train", "Go to Train")
        st.stop()
    chosen = st.selectbox("Run", list(runs), key=key, bind="query-params", format_func=lambda id: run_label(runs[id]))
    return runs[chosen]


def run_table(runs: list[RunRecord], *, part: str) -> pd.DataFrame:
    """One row a run: title, model, split, state and mean scores on a part."""
    rows = []
    for run in runs:
        own = run.metrics.get(part, {}).get(run.spec.model)
        scores = {name: getattr(own, name) if own else None for name in SCORES}
        named = {"run": run.id, "title": run.spec.title, "model": run.spec.model, "split": run.split.name}
        rows.append(named | {"state": run.state} | scores)
    return pd.DataFrame(rows, columns=["run", "title", "model", "split", "state", *SCORES])


def score_table(run: RunRecord, *, part: str) -> pd.DataFrame:
    """Mean scores of a run on a part, and below those of the baselines: columns model, then the scores."""
    rows = [
        {"model": f"{OWN}: {MODELS[name].label}" if name == run.spec.model else MODELS[name].label}
        | {score: getattr(summary, score) for score in SCORES}
        for name, summary in run.metrics.get(part, {}).items()
    ]
    return pd.DataFrame(rows, columns=["model", *SCORES])


@st.cache_data(max_entries=16, show_spinner=False)
def load_scores(run_id: str, part: str) -> pd.DataFrame:
    """Scores of each perturbation of a part, for the run and the baselines: columns model, perturbation, scores."""
    settings = current_settings()
    run = load_run(run_id, settings)
    index: Index = load_index(settings.datasets / run.spec.dataset / "index")
    labels, deltas = run.prediction(part)
    frames = [compute_scores(index, deltas, perturbations=labels).assign(model=OWN)]
    for name in BASELINES:
        if name != run.spec.model:
            baseline = make_model(name).fit(index, run.split)
            scores = compute_scores(index, baseline.predict(labels), perturbations=labels)
            frames.append(scores.assign(model=MODELS[name].label))
    return pd.concat(frames, ignore_index=True)
