"""Figures of a sweep: every trial as a line across its parameters, and what the objective depends on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from vccapp.figures.style import ACCENT, NEUTRAL, QUIET, UP, finish

SHADES = (NEUTRAL, ACCENT, UP)
"""From bad to good; legible on white and on black."""
MOST_TICKS = 6
"""Of an axis of values; of more, the first and the last are named."""
BEYOND = 10
"""Pixels from the end of an axis to its name."""


@dataclass(frozen=True)
class Axis:
    """One parameter. column : of the frame; values : those that are tried, in order, or the two ends of a range"""

    column: str
    label: str
    values: tuple[Any, ...]
    is_range: bool = False
    log: bool = False

    def place(self, value: Any) -> float:
        """Where a value stands on the axis, from 0 to 1."""
        if self.is_range:
            low, high, own = (math.log(v) if self.log else float(v) for v in (*self.values, value))
            return (own - low) / (high - low) if high > low else 0.5
        place = next(i for i, known in enumerate(self.values) if type(known) is type(value) and known == value)
        return place / (len(self.values) - 1) if len(self.values) > 1 else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Places and their names."""
        named = self.values if len(self.values) <= MOST_TICKS else (self.values[0], self.values[-1])
        return [(self.place(value), _name(value)) for value in named]


def parallel_coordinates(trials: pd.DataFrame, axes: Sequence[Axis], *, objective: str, best: str) -> alt.LayerChart:
    """A line a trial across the axes, the last of which is the objective.

    trials : trial, objective and the column of each axis; objective : its label; best : which end of it is good
    """
    low, high = float(trials["objective"].min()), float(trials["objective"].max())
    last = Axis("objective", objective, (low, high), is_range=True)
    every = [*axes, last]
    rows = [
        {
            "trial": row["trial"],
            "axis": axis.label,
            "place": axis.place(row[axis.column]),
            "value": _name(row[axis.column]),
            "objective": row["objective"],
        }
        for row in trials.to_dict("records")
        for axis in every
    ]
    ticks = [{"axis": axis.label, "place": place, "name": name} for axis in every for place, name in axis.ticks()]
    x = alt.X(
        "axis:N",
        sort=[axis.label for axis in every],
        title=None,
        scale=alt.Scale(type="point", padding=0.3),
        axis=alt.Axis(orient="top", labelAngle=0, labelLimit=120, domain=False, ticks=False, labelOverlap=False),
    )
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.1, 1.1]))
    near = alt.selection_point(on="pointerover", fields=["trial"], empty=False)
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=x,
            y=y,
            detail="trial:N",
            color=alt.Color(
                "objective:Q",
                title=None,
                scale=alt.Scale(range=[*SHADES] if best == "high" else [*reversed(SHADES)]),
                legend=alt.Legend(orient="bottom", gradientLength=160, format=".3g", tickCount=3, title=objective),
            ),
            strokeWidth=alt.condition(near, alt.value(4), alt.value(1.6)),
            opacity=alt.condition(near, alt.value(1), alt.value(0.75)),
            tooltip=[
                alt.Tooltip("trial:N", title="trial"),
                alt.Tooltip("axis:N", title="parameter"),
                alt.Tooltip("value:N", title="value"),
                alt.Tooltip("objective:Q", title=objective, format=".4g"),
            ],
        )
        .add_params(near)
    )
    ends, between = ([tick for tick in ticks if (tick["place"] in (0, 1)) == outer] for outer in (True, False))
    names = [
        alt.Chart(pd.DataFrame(found)).mark_text(dy=dy, fontSize=11, color=QUIET).encode(x=x, y=y, text="name:N")
        for end, dy in ((0, BEYOND), (1, -BEYOND))  # beyond the lines
        if (found := [tick for tick in ends if tick["place"] == end])
    ]
    if between:
        marks = alt.Chart(pd.DataFrame(between)).mark_text(align="left", dx=5, fontSize=11, color=QUIET)
        names.append(marks.encode(x=x, y=y, text="name:N"))
    posts = (
        alt.Chart(pd.DataFrame({"axis": [axis.label for axis in every], "low": 0.0, "high": 1.0}))
        .mark_rule(color=QUIET, opacity=0.6)
        .encode(x=x, y=alt.Y("low:Q", axis=None), y2="high:Q")
    )
    title = f"{len(trials):,} finished trial{'s' * (len(trials) > 1)}"
    chart = alt.LayerChart(layer=[posts, lines, *names])
    return finish(chart, title, f"one line a trial; {objective}: {best} is better", height=340)


def importance_bars(shares: pd.DataFrame, *, objective: str, n: int) -> alt.Chart:
    """Bars of parameter, importance. n : trials that it is told from"""
    chart = (
        alt.Chart(shares)
        .mark_bar(color=ACCENT, height={"band": 0.7})
        .encode(
            x=alt.X(
                "importance:Q",
                title="importance (share of the variance)",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%", tickCount=5),
            ),
            y=alt.Y("parameter:N", sort=shares["parameter"].tolist(), title=None, axis=alt.Axis(labelLimit=160)),
            tooltip=[alt.Tooltip("parameter:N"), alt.Tooltip("importance:Q", format=".1%")],
        )
    )
    note = f"of {objective}, told from {n:,} finished trials by a random forest (fANOVA)"
    return finish(chart, "Which parameters matter", note, height=110 + 28 * len(shares))


def _name(value: Any) -> str:
    """A value on an axis: numbers in four digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
