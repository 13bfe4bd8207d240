"""Runs on a page: which there are, what they predict, how they score beside the baselines."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
from vccapp.models.base import label_model
from vccapp.records import Listing
from vccapp.references import FULL_NAMES, LIMITS
from vccapp.training import RunRecord, list_runs
from vccapp.training.record import Part
from vccapp.training.runs.naming import describe_run, label_runs
from vccapp.ui.kit.forms import named
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_unreadable
from vccapp.wording import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

OWN = "this run"


def load_runs(record: Record) -> Listing[RunRecord]:
    """Finished runs on a dataset, the newest first; unreadable ones are of any dataset."""
    runs = list_runs(current_settings())
    own = [run for run in runs if run.spec.dataset == record.fingerprint and run.state == "finished"]
    return Listing(own, runs.unreadable)


def run_label(run: RunRecord) -> str:
    """How a run is called in a list; no two are called alike, see `label_runs`."""
    return describe_run(run)


def pick_run(
    label: str,
    runs: Iterable[RunRecord],
    *,
    key: str,
    first: str = "",
    place: "DeltaGenerator | None" = None,
    **more: Any,
) -> RunRecord:
    """A selectbox of runs, the reference of the data first. The address names the chosen one by its id.

    first : id of the one that is chosen at first; place : a column, say; more : of `st.selectbox`
    """
    known = {run.id: run for run in first_pinned(runs)}
    labels = label_runs(known.values())
    asked = [run_id for run_id in st.query_params.get_all(key) if run_id in known]
    if asked and asked != st.session_state.get(f"{key}_named"):  # a link, or Back
        st.session_state[key] = asked[0]
    elif st.session_state.get(key) not in known:
        st.session_state[key] = first if first in known else next(iter(known))
    chosen = (st if place is None else place).selectbox(label, list(known), key=key, format_func=named(labels), **more)
    _note_link(key, [chosen])
    return known[chosen]


def pick_runs(label: str, runs: Iterable[RunRecord], *, key: str, **more: Any) -> list[RunRecord]:
    """A multiselect of runs, in the same way; the first one of them is chosen at first."""
    known = {run.id: run for run in first_pinned(runs)}
    labels = label_runs(known.values())
    asked = [run_id for run_id in st.query_params.get_all(key) if run_id in known]
    if asked and asked != st.session_state.get(f"{key}_named"):
        st.session_state[key] = asked
    elif key in st.session_state:
        st.session_state[key] = [run_id for run_id in st.session_state[key] if run_id in known]
    else:
        st.session_state[key] = list(known)[:1]
    chosen = st.multiselect(label, list(known), key=key, wrap=True, format_func=named(labels), **more)
    _note_link(key, chosen)
    return [known[run_id] for run_id in chosen]


def first_pinned(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """The same runs, the references of their datasets first."""
    return sorted(runs, key=lambda run: run.notes.pinned is None)


def _note_link(key: str, run_ids: list[str]) -> None:
    """What is chosen stands in the address, and is known not to come from there."""
    st.session_state[f"{key}_named"] = run_ids
    if st.query_params.get_all(key) != run_ids:
        st.query_params[key] = run_ids


def choose_run(record: Record, *, key: str) -> RunRecord:
    """A selectbox of finished runs, the newest first. Where there is none, say how to get one, and end the page."""
    found = load_runs(record)
    show_unreadable(found.unreadable)
    if not found:
        from vccapp.ui.kit.frame import page_link

        st.info(
            f"There is no finished run on {plain(record.title)} yet. "
            "Train a model first; the mean baseline trains in seconds."
        )
        page_link("train", "Go to Train")
        st.stop()
    return pick_run("Run", found, key=key)


def score_table(run: RunRecord, *, part: Part) -> pd.DataFrame:
    """Mean scores of a run on a part, below those of the baselines and the limits: columns model, then the scores."""
    rows = [
        {"model": f"{OWN}: {_label(name)}" if name == run.spec.model else _label(name)} | scores
        for name, scores in run.metrics.get(part, {}).items()
    ]
    return pd.DataFrame(rows, columns=["model", *list_pseudobulk_metrics()])


def _label(name: str) -> str:
    return FULL_NAMES[name].capitalize() if name in LIMITS else label_model(name)
