"""Choosing a model on a page: in the order of their use, each with what it is for and how it did."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from vccapp.data.splits.split import Split
from vccapp.models.base import MODELS, list_trainable
from vccapp.references import PERTURBATION_MEAN
from vccapp.stats.index import Index
from vccapp.training import RunRecord
from vccapp.training.choosing.advice import RULE, Advice, advise
from vccapp.training.choosing.coverage import measure_coverage
from vccapp.training.choosing.here import describe_best, find_best
from vccapp.training.choosing.measured import METRIC, METRIC_LABEL, count_gains, describe_measured, load_measured
from vccapp.ui.kit.show import show_table
from vccapp.wording import plain

KEY = "train_model"


def choose_model(index: Index, split: Split, runs: Sequence[RunRecord]) -> str:
    """A model; what it is for, what it did, and which one to try first on these data."""
    names = list_trainable()
    model = st.selectbox(
        "Model",
        names,
        index=names.index(PERTURBATION_MEAN),
        key=KEY,
        bind="query-params",
        format_func=lambda name: MODELS[name].label,
    )
    kind = MODELS[model]
    st.markdown(plain(kind.purpose or kind.description))
    best = find_best(model, runs, split)
    st.caption(plain(describe_best(best) if best else "It has no finished run on this split yet."))
    if told := describe_measured(model, load_measured()):
        st.caption(plain(f"In our measurements: {told[:1].lower()}{told[1:]}"))
    _show_advice(advise(split, measure_coverage("default", index, split)), model)
    return model


def show_models(split: Split, runs: Sequence[RunRecord]) -> None:
    """All models in a table, and what was measured of each."""
    show_table(
        model_table(split, runs),
        key="train_models",
        text="Table of the models: what each is for, its best run on this split, and its mean gain in our measurements",
        name="models",
        choose=("model", KEY),
    )
    st.caption(
        f"Here: {METRIC_LABEL} of the best finished run on the validation part of this split, and of the perturbation "
        "mean. Measured: the table below, over data sets."
    )
    measured = load_measured()
    show_table(
        measured[["data", "model", "train", "tested", "des", "pds", "mae", METRIC, f"{METRIC}_gain"]],
        key="train_measured",
        text="Table of what each model did in our measurements, by data set",
        name="measured",
    )
    st.caption(
        "Means over all perturbations, each predicted once by a model that had not seen it; gain: minus the floor, "
        "the mean that knows nothing of the target. docs/results.md says how it was measured."
    )


def model_table(split: Split, runs: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a model, in the order of their use: model, use, purpose, here, here_mean, data sets measured and won."""
    measured, rows = load_measured(), []
    for name in list_trainable():
        kind, best = MODELS[name], find_best(name, runs, split)
        n, above, _ = count_gains(measured[measured["model"] == name])
        rows.append(
            {
                "model": name,
                "label": kind.label,
                "use": kind.use,
                "purpose": kind.purpose or kind.description,
                "here": best.score("val") if best else None,
                "here_mean": best.score("val", PERTURBATION_MEAN) if best else None,
                "measured": n,
                "above_floor": above,
            }
        )
    return pd.DataFrame(rows)


def _show_advice(advice: Advice, chosen: str) -> None:
    if advice.model == chosen:
        st.caption(plain(f"The one to try first on these data: {advice.reason}"), help=RULE)
        return
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.caption(plain(f"Try first: {MODELS[advice.model].label}. {advice.reason}"), help=RULE)
    right.button("Choose it", key="train_advice", on_click=_choose, args=(advice.model,), width="stretch")


def _choose(model: str) -> None:
    st.session_state[KEY] = model
