"""Figures of a training: one term of the loss, or one score of the held-out perturbations, over the steps."""

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.style import ACCENT, NEUTRAL, QUIET, finish, legend
from vccapp.references import CEILING, CONTROL_MEAN, NAMES, PERTURBATION_MEAN

POINTS = 300
"""Of a curve at most; each is then the mean of a few."""
HEIGHT, LEGEND = 190, 40
DASHES = {NAMES[CONTROL_MEAN]: [2, 3], NAMES[PERTURBATION_MEAN]: [6, 4], NAMES[CEILING]: [1, 0]}
OTHER_DASH = [10, 3, 2, 3]


def thin_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """step, value: means over at most POINTS runs of neighbouring steps, at the last step of each."""
    if len(curve) <= POINTS:
        return curve
    part = np.arange(len(curve)) * POINTS // len(curve)
    return curve.groupby(part).agg({"step": "last", "value": "mean"}).reset_index(drop=True)


def curve_of(
    curve: pd.DataFrame, references: pd.DataFrame, *, label: str, note: str, last_step: int | None = None
) -> alt.LayerChart:
    """One value over the steps, with a line for each reference.

    curve : step, value. references : name, value. last_step : where the axis ends, as far as the training will go
    """
    ends = [0, max(int(curve["step"].max()), last_step or 0)]
    x = alt.X("step:Q", title="step", scale=alt.Scale(domain=ends, nice=False), axis=alt.Axis(tickCount=5, format=",d"))
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, padding=6), axis=alt.Axis(tickCount=5))
    tooltip = [alt.Tooltip("step:Q", format=",d"), alt.Tooltip("value:Q", title=label, format=".4g")]
    line = alt.Chart(curve).mark_line(color=ACCENT, strokeWidth=1.8, point=len(curve) <= 60).encode(x=x, y=y)
    layers: list[alt.Chart] = [line.encode(tooltip=tooltip)]
    names = references["name"].tolist()
    if names:
        dashes = [DASHES.get(name, OTHER_DASH) for name in names]
        layers.append(
            alt.Chart(references)
            .mark_rule(color=QUIET, strokeWidth=1.4)
            .encode(
                y=y,
                strokeDash=alt.StrokeDash(
                    "name:N", scale=alt.Scale(domain=names, range=dashes), legend=legend(names, symbol=300)
                ),
                tooltip=[alt.Tooltip("name:N"), alt.Tooltip("value:Q", title=label, format=".4g")],
            )
        )
    layers.append(alt.Chart(curve.tail(1)).mark_point(filled=True, size=45, color=NEUTRAL, opacity=1).encode(x=x, y=y))
    return finish(
        alt.LayerChart(layer=layers), label, note, names=names, height=HEIGHT + (LEGEND if len(references) else 0)
    )
