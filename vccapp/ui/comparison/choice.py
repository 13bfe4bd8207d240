"""Choosing what the page Compare compares: runs, part, what is shown in detail, perturbations, genes."""

from collections.abc import Sequence

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.models.base import MODELS
from vccapp.references import FLOORS
from vccapp.stats.index import Index
from vccapp.training import RunRecord
from vccapp.ui.comparison.comparison import Comparison, first_choice, load_baseline
from vccapp.ui.comparison.gene_choice import choose_genes
from vccapp.ui.kit.runs import load_runs, run_label

MAX_RUNS = 6
SHOWN, MAX_SHOWN = 4, 24
PARTS = {"test": "test", "val": "validation"}


def has_runs(record: Record) -> bool:
    """Whether there is a finished run to compare. Where there is none, say how to get one."""
    if load_runs(record):
        return True
    from vccapp.ui.kit.frame import page_link

    st.info(f"There is no finished run on {record.title} yet. Train a model first; the mean takes seconds.")
    page_link("train", "Go to Train")
    return False


def choose_comparison(record: Record, index: Index) -> Comparison:
    """Runs, part, perturbations and genes. Where nothing can be compared, say why, and end the page."""
    known = {run.id: run for run in load_runs(record)}
    # The URL holds what the widget shows; a link from elsewhere may also name runs by their ids.
    linked = [run_id for run_id in st.query_params.get_all("cmp_runs") if run_id in known]
    if linked:
        st.session_state["cmp_runs"] = linked
        st.query_params["cmp_runs"] = [run_label(known[run_id]) for run_id in linked]
    left, middle, right = st.columns([4, 1, 2])
    chosen = left.multiselect(
        "Runs",
        list(known),
        default=None if linked else [next(iter(known))],
        key="cmp_runs",
        bind="query-params",
        max_selections=MAX_RUNS,
        format_func=lambda run_id: run_label(known[run_id]),
        help="Predictions made elsewhere are runs too, once they are imported. Baselines and the ceiling always show.",
    )
    part = middle.segmented_control(
        "Part", list(PARTS), default="test", required=True, key="cmp_part", bind="query-params"
    )
    if not chosen:
        st.info("Choose at least one run.")
        st.stop()
    runs = make_predictions([known[run_id] for run_id in chosen], part=part)
    labels = runs[0].labels
    if not labels:
        st.info(f"The chosen runs have no perturbation in common in the {PARTS[part]} part of their splits.")
        st.stop()
    baselines = tuple(load_baseline(index, runs[0].key, name, labels) for name in FLOORS)
    everyone = {own.key: own for own in (*runs, *baselines)}
    shown = right.selectbox(
        "In detail",
        list(everyone),
        key="cmp_shown",
        bind="query-params",
        format_func=lambda key: everyone[key].name,
        help="What the views show that have room for one prediction.",
    )
    left, right = st.columns([2, 3])
    effects = index.perturbations.set_index("perturbation")["effect"].loc[list(labels)]
    picked = left.multiselect(
        "Perturbations looked at closely",
        list(labels),
        default=first_choice("cmp_perturbations", labels, effects.nlargest(SHOWN).index.tolist()),
        key="cmp_perturbations",
        bind="query-params",
        max_selections=MAX_SHOWN,
        help=f"At first the {SHOWN} with the largest real effect. Scores and the like are of all {len(labels)}.",
    )
    if not picked:
        st.info("Choose at least one perturbation.")
        st.stop()
    with right:
        genes = choose_genes(index, picked)
    return Comparison(
        index=index,
        part=part,
        records={run_id: known[run_id] for run_id in chosen},
        labels=labels,
        runs=runs,
        baselines=baselines,
        shown=everyone[shown],
        perturbations=tuple(picked),
        genes=tuple(genes),
    )


def make_predictions(runs: Sequence[RunRecord], *, part: str) -> tuple[Prediction, ...]:
    """The predictions of runs for the perturbations that all of them have in a part, by short and different names."""
    found = [run.prediction(part) for run in runs]
    common = set(found[0][0]).intersection(*(labels for labels, _ in found))
    labels = [label for label in found[0][0] if label in common]
    predictions = [
        Prediction(run.id, name, "run", tuple(own), deltas)
        for run, name, (own, deltas) in zip(runs, name_runs(runs), found, strict=True)
    ]
    return tuple(own if own.labels == tuple(labels) else own.only(labels) for own in predictions)


def name_runs(runs: Sequence[RunRecord]) -> list[str]:
    """Title or model of each run, with what tells it apart where two are called alike."""
    names = [run.spec.title or MODELS[run.spec.model].label for run in runs]
    for tell in (lambda run: run.split.name, lambda run: run.id[-4:]):
        names = [
            f"{name} · {tell(run)}" if names.count(name) > 1 else name for name, run in zip(names, runs, strict=True)
        ]
    return names
