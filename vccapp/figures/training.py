"""Figures of trainings: one term of the loss, or one score of the held-out perturbations, of one run or of several."""

from typing import Literal

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.sources import colours
from vccapp.figures.style import ACCENT, NEUTRAL, QUIET, finish, legend
from vccapp.references import CONTROL_MEAN, NAMES, PERFECT, PERTURBATION_MEAN, REPEAT

POINTS = 300
"""Of a curve at most; each is then the mean of a few."""
HEIGHT, LEGEND = 190, 40
DASHES = {NAMES[CONTROL_MEAN]: [2, 3], NAMES[PERTURBATION_MEAN]: [6, 4], NAMES[REPEAT]: [14, 3], NAMES[PERFECT]: [1, 0]}
OTHER_DASH = [10, 3, 2, 3]
AXES = {"step": "step", "seconds": "seconds of training"}


def thin_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """Means of every column over at most POINTS runs of neighbouring rows; steps and seconds are those of the last."""
    if len(curve) <= POINTS:
        return curve
    part = np.arange(len(curve)) * POINTS // len(curve)
    how = {name: "last" if name in AXES else "mean" for name in curve}
    return curve.groupby(part).agg(how).reset_index(drop=True)


def curves_of(
    curves: pd.DataFrame,
    references: pd.DataFrame,
    *,
    label: str,
    note: str,
    axis: str = "step",
    log: bool = False,
    last: float | None = None,
) -> alt.LayerChart:
    """One value of one or several trainings over their steps or their time, with a line for each reference.

    curves : run (how it is called), `axis`, value, and smooth where the values stand behind their moving mean
    references : name, value. last : where the axis ends at least, as far as the training will go
    log : of the values' axis; not where a value is not above 0
    """
    runs = list(dict.fromkeys(curves["run"]))
    ends = [0, max(float(curves[axis].max()), last or 0)]
    format = ",d" if axis == "step" else ",.0f"
    x = alt.X(
        f"{axis}:Q",
        title=AXES[axis],
        scale=alt.Scale(domain=ends, nice=False),
        axis=alt.Axis(tickCount=5, format=format),
    )
    kind: Literal["log", "linear"] = "log" if log and is_positive(curves, references) else "linear"
    scale = alt.Scale(zero=False, padding=6, type=kind)

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5))

    several = len(runs) > 1
    color = alt.Color("run:N", scale=colours(runs), legend=legend(runs)) if several else alt.value(ACCENT)
    tooltip = [alt.Tooltip(f"{axis}:Q", format=format), alt.Tooltip("value:Q", title=label, format=".4g")]
    tooltip += [alt.Tooltip("run:N")] if several else []
    shown = "smooth" if "smooth" in curves else "value"
    line = alt.Chart(curves).mark_line(strokeWidth=1.8, point=len(curves) <= 60 * len(runs))
    layers: list[alt.Chart] = [line.encode(x=x, y=y(shown), color=color, tooltip=tooltip)]
    if shown == "smooth":
        raw = alt.Chart(curves).mark_line(strokeWidth=1, opacity=0.3)
        layers.insert(0, raw.encode(x=x, y=y("value"), color=color))
    names = references["name"].tolist()
    if names:
        dashes = [DASHES.get(name, OTHER_DASH) for name in names]
        layers.append(
            alt.Chart(references)
            .mark_rule(color=QUIET, strokeWidth=1.4)
            .encode(
                y=y("value"),
                strokeDash=alt.StrokeDash(
                    "name:N", scale=alt.Scale(domain=names, range=dashes), legend=legend(names, symbol=300)
                ),
                tooltip=[alt.Tooltip("name:N"), alt.Tooltip("value:Q", title=label, format=".4g")],
            )
        )
    end = alt.Chart(curves.groupby("run", sort=False).tail(1)).mark_point(filled=True, size=45, opacity=1)
    layers.append(end.encode(x=x, y=y(shown), color=color if several else alt.value(NEUTRAL)))
    beside = [*(runs if several else []), *names]
    height = HEIGHT + LEGEND * (bool(names) + several)
    return finish(alt.LayerChart(layer=layers), label, note, names=beside, height=height)


def is_positive(curves: pd.DataFrame, references: pd.DataFrame) -> bool:
    """Whether a logarithmic axis can show all of them."""
    return bool((curves["value"] > 0).all() and (references["value"].astype(float) > 0).all())


def usage_of(series: pd.DataFrame, *, label: str, unit: str) -> alt.Chart:
    """What was used over time. series : seconds since its start, value"""
    part = np.arange(len(series)) * POINTS // max(len(series), POINTS)
    thin = series.groupby(part).agg({"seconds": "last", "value": "max"}).reset_index(drop=True)  # peaks must be seen
    chart = (
        alt.Chart(thin)
        .mark_area(line={"color": ACCENT}, color=ACCENT, opacity=0.25)
        .encode(
            x=alt.X("seconds:Q", title="seconds since its start", axis=alt.Axis(tickCount=5, format=",.0f")),
            y=alt.Y("value:Q", title=unit, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)),
            tooltip=[alt.Tooltip("seconds:Q", format=",.0f"), alt.Tooltip("value:Q", title=unit, format=".3g")],
        )
    )
    return finish(chart, label, f"at most {series['value'].max():.3g} {unit}", height=HEIGHT)
