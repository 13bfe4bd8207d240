"""Curves of trainings on a page: each term and each score, of one run beside its baselines or of several runs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.evaluation.metrics import METRICS
from vccapp.figures.training import AXES, curves_of, is_positive, thin_curve
from vccapp.losses.expression import describe_losses
from vccapp.models.base import label_model, label_parameter
from vccapp.references import NAMES
from vccapp.training import RunRecord
from vccapp.training.runs.curves import metric_of, order_names, read_curves, smooth
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.show import show_chart

COLUMNS = 2
NO_REFERENCES = pd.DataFrame({"name": pd.Series(dtype=str), "value": pd.Series(dtype=float)})
LABELS = {
    "loss": "Loss",
    "val_loss": "Loss on held-out cells",
    "val_gain": "Gain over the baseline",
    "loo_error": "Leave-one-out squared error",
    "share": "Share of the prediction beyond the mean that is kept",
    "shrinkage": "Shrinkage (lambda)",
    "amplitude": "Amplitude",
    "shared": "Perturbations shared with other screens",
}


def show_curves(runs: Sequence[RunRecord], names: Mapping[str, str], *, key: str, most: int | None = None) -> None:
    """All that these runs logged, with the choices of how it is drawn. names : how each run is called; most : charts"""
    frame = read_curves(runs)
    if frame.empty:
        st.caption("Nothing is logged yet: models that are not trained step by step have no curves.")
        return
    axis, weight, log = ("step", 0.0, False) if most else _choose(frame, key)
    values = order_names(frame)[:most]
    labels = LABELS | describe_losses()
    for start in range(0, len(values), COLUMNS):
        for column, name in zip(st.columns(COLUMNS), values[start : start + COLUMNS], strict=False):
            with column:
                own = frame[frame["name"] == name]
                _draw(own, name, runs, names, labels, axis=axis, weight=weight, log=log, key=key)


def show_curve(curve: pd.DataFrame, *, label: str, note: str, key: str, name: str) -> None:
    """One logged value over the steps of one training. curve : step, seconds, name, value; name : of its CSV"""
    shown = thin_curve(curve[["step", "seconds", "value"]]).assign(run="")
    show_chart(
        curves_of(shown, NO_REFERENCES, label=label, note=note),
        key=key,
        text=f"{label} over the steps of the training: {note}",
        data=curve,
        name=name,
    )


def _choose(frame: pd.DataFrame, key: str) -> tuple[str, float, bool]:
    """Axis, weight of the moving mean, and whether the values' axis is logarithmic."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key=f"{key}_choices")
    timed = frame["seconds"].notna().all()
    axes = {"step": "Steps", "seconds": "Time"}
    axis = choose_one("Over", axes, key=f"{key}_axis", place=row)
    weight = row.slider(
        "Smoothing",
        0.0,
        0.95,
        0.0,
        0.05,
        key=f"{key}_smooth",
        bind="query-params",
        width=220,
        help="0: none; the values stay behind the mean",
    )
    log = row.toggle("Log scale", key=f"{key}_log", bind="query-params")
    if axis == "seconds" and not timed:
        st.caption("Runs of earlier versions did not note the time; their curves are drawn over the steps.")
        axis = "step"
    return axis, weight, log


def _draw(
    frame: pd.DataFrame,
    name: str,
    runs: Sequence[RunRecord],
    names: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    axis: str,
    weight: float,
    log: bool,
    key: str,
) -> None:
    """One value of the runs that logged it. frame : of that value"""
    metric = metric_of(name)
    label = labels.get(name, label_parameter(runs[0].spec.model, name)) if metric is None else METRICS[metric].label
    parts, ends = [], []
    for run in runs:
        own = frame[frame["run"] == run.id]
        if own.empty:
            continue
        curve = own[["step", "seconds", "value"]]
        if weight:
            curve = curve.assign(smooth=smooth(own["value"].to_numpy(float), weight))
        parts.append(thin_curve(curve).assign(run=names[run.id]))
        ends.append(_describe_end(own, metric, held_out=name == "val_loss"))
    curves = pd.concat(parts, ignore_index=True)
    references = _references(runs[0], metric) if metric is not None and len(parts) == 1 else NO_REFERENCES
    note = ends[0] if len(ends) == 1 else f"{len(ends)} runs over {AXES[axis]}"
    if log and not is_positive(curves, references):
        note += "; not on a log scale, as some values are not above 0"
    show_chart(
        curves_of(curves, references, label=label, note=note, axis=axis, log=log),
        key=f"{key}_{name}",
        text=f"{label} over {AXES[axis]} of {len(ends)} run{'s' * (len(ends) > 1)}: {'; '.join(ends)}",
        data=frame,
        name=name,
    )


def _describe_end(own: pd.DataFrame, metric: str | None, *, held_out: bool) -> str:
    """The last value of a run, and the best of a score."""
    values = own["value"].to_numpy(float)
    text = f"now {values[-1]:.4g}"
    if metric is None and not held_out:
        return text
    high = metric is not None and METRICS[metric].best == "high"
    best = int(np.argmax(values) if high else np.argmin(values))
    return f"{text}, best {values[best]:.4g} at step {int(own['step'].iloc[best]):,}"


def _references(run: RunRecord, metric: str) -> pd.DataFrame:
    """name, value of the baselines and the limits on the validation part, where they have the metric."""
    scores = {who: found.get(metric) for who, found in run.metrics.get("val", {}).items() if who != run.spec.model}
    rows = [(NAMES.get(who) or label_model(who).lower(), v) for who, v in scores.items() if v is not None]
    return pd.DataFrame(rows, columns=["name", "value"]).astype({"value": float}) if rows else NO_REFERENCES
