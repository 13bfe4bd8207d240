"""A training on a page: what it will take, its curves while it runs, and how to go on with one that was interrupted."""

from typing import Literal

import pandas as pd
import streamlit as st

from vccapp.data.splits.split import Split
from vccapp.errors import VccAppError
from vccapp.evaluation.metrics import METRICS
from vccapp.figures.training import curve_of, thin_curve
from vccapp.losses.expression import describe_losses
from vccapp.models.base import MODELS, label_model, make_model
from vccapp.references import NAMES
from vccapp.stats.index import Index
from vccapp.tasks.resume import Resume
from vccapp.training import RunRecord, load_run
from vccapp.training.fit import estimate_fit
from vccapp.training.metrics_log import read_metrics
from vccapp.training.validation import PREFIX
from vccapp.ui.kit.forms import field_label
from vccapp.ui.kit.jobs import begin_job
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.runs import run_label
from vccapp.ui.kit.show import show_chart
from vccapp.wording import bytes_text, plain

RESUMABLE = ("stopped", "interrupted", "failed")
COLUMNS = 2
NO_REFERENCES = pd.DataFrame(columns=["name", "value"])
LABELS = {
    "loss": "Loss",
    "val_loss": "Loss on held-out cells",
    "loo_error": "Leave-one-out squared error",
    "share": "Share of the prediction beyond the mean that is kept",
    "shrinkage": "Shrinkage (lambda)",
    "amplitude": "Amplitude",
    "shared": "Perturbations shared with other screens",
}


def choose_devices(model: str, *, key: str) -> int | Literal["auto"]:
    """A number of processes, asked for where they can share the fit of a model; else that of the settings."""
    known = current_settings().devices
    if known == "auto" or not MODELS[model].shared:
        return known
    text = "Number of processes, one per GPU or share of this machine's cores"
    return int(st.number_input("Devices", 1, None, known, key=key, bind="query-params", help=text))


def show_estimate(model: str, params: dict, index: Index, split: Split, *, devices: int | Literal["auto"] = 1) -> None:
    """Time and memory that a training will take, and whether it is allowed; nothing where the parameters are wrong."""
    settings = current_settings()
    try:
        ranks = 1 if devices == "auto" else devices
        estimate = estimate_fit(make_model(model, params), index, split, settings, ranks=ranks)
    except VccAppError:
        return  # told when it is started
    st.caption(plain(estimate.describe()))
    if estimate.memory_bytes > settings.memory_bytes:
        allowed = bytes_text(settings.memory_bytes)
        st.warning(f"Exceeds the limit of {allowed}: choose fewer genes, or raise VCCAPP_MEMORY_GB.")


def show_training(runs: list[RunRecord], *, key: str) -> None:
    """Curves of a run that logs its steps, live while it trains; nothing where there is none."""
    logged = {run.id: run for run in runs if run.spec.model in MODELS and _logs_steps(run)}
    if not logged:
        return
    st.subheader("Training curves", anchor=False)
    chosen = st.selectbox(
        "Run",
        list(logged),
        key=key,
        bind="query-params",
        format_func=lambda run_id: f"{run_label(logged[run_id])} · {logged[run_id].state}",
    )
    draw_live(
        lambda: load_run(chosen, current_settings()),
        lambda run: _draw(run, key),
        watch=lambda run: run.id if run.state == "running" else "",
    )


def _logs_steps(run: RunRecord) -> bool:
    return (run.folder / "metrics.jsonl").exists() and (run.folder / "metrics.jsonl").stat().st_size > 0


def _draw(run: RunRecord, key: str) -> None:
    if run.state in RESUMABLE:
        left, right = st.columns([6, 1], vertical_alignment="center")
        left.caption(f"This run is {plain(run.state)}. {plain(run.reason)} It can resume from its last checkpoint.")
        right.button(
            "Resume", key=f"{key}_resume", icon=":material/resume:", on_click=_resume, args=(run,), width="stretch"
        )
    frame = read_metrics(run.folder).dropna()
    names = [name for name in dict.fromkeys(frame["name"]) if name != "learning_rate"]
    scored = [name for name in names if name.removeprefix(PREFIX) in METRICS]
    terms = [name for name in names if name not in scored]
    for row in (scored, terms):
        for start in range(0, len(row), COLUMNS):
            for column, name in zip(st.columns(COLUMNS), row[start : start + COLUMNS], strict=False):
                with column:
                    _draw_curve(frame[frame["name"] == name], name, run, key)


def _draw_curve(curve: pd.DataFrame, name: str, run: RunRecord, key: str) -> None:
    known = name.startswith(PREFIX) and name.removeprefix(PREFIX) in METRICS
    metric = METRICS[name.removeprefix(PREFIX)] if known else None
    label = (LABELS | describe_losses()).get(name, field_label(name)) if metric is None else metric.label
    references = _references(run, metric.name) if metric else NO_REFERENCES
    values = curve["value"]
    note = f"now {values.iloc[-1]:.4g}"
    if metric or name == "val_loss":
        best = values.idxmax() if metric and metric.best == "high" else values.idxmin()
        note += f", best {values[best]:.4g} at step {curve['step'][best]:,}"
    show_curve(curve, references, label=label, note=note, key=f"{key}_{name}", name=name)


def show_curve(curve: pd.DataFrame, references: pd.DataFrame, *, label: str, note: str, key: str, name: str) -> None:
    """One logged value over the steps of a training. curve : step, name, value; name : of its CSV."""
    show_chart(
        curve_of(thin_curve(curve[["step", "value"]]), references, label=label, note=note),
        key=key,
        text=f"{label} over the steps of the training: {note}",
        data=curve,
        name=name,
    )


def _references(run: RunRecord, metric: str) -> pd.DataFrame:
    """name, value of the baselines and the ceiling on the validation part, where they have the metric."""
    scores = {who: found.get(metric) for who, found in run.metrics.get("val", {}).items() if who != run.spec.model}
    rows = [(NAMES.get(who) or label_model(who).lower(), v) for who, v in scores.items() if v is not None]
    return pd.DataFrame(rows, columns=["name", "value"])


def _resume(run: RunRecord) -> None:
    begin_job(Resume(dataset=run.spec.dataset, run_id=run.id))
