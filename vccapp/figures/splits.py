"""Figures of the page Splits: are the parts alike?"""

import altair as alt
import pandas as pd

from vccapp.figures.style import finish

PARTS = ["train", "val", "test"]


def part_balance(frame: pd.DataFrame, *, value: str, label: str) -> alt.Chart:
    """One number of each perturbation, by part. frame: perturbation, part, `value`."""
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, size=45, opacity=0.55)
        .encode(
            x=alt.X(f"{value}:Q", title=label),
            y=alt.Y("part:N", sort=PARTS, title=None),
            yOffset=alt.YOffset("jitter:Q", scale=alt.Scale(domain=[-1, 1])),
            color=alt.Color("part:N", sort=PARTS, legend=None),
            shape=alt.Shape("part:N", sort=PARTS, legend=None),
            tooltip=[alt.Tooltip("perturbation:N"), alt.Tooltip("part:N"), alt.Tooltip(f"{value}:Q", format=".4~g")],
        )
        .transform_calculate(jitter="random() * 1.2 - 0.6")
    )
    medians = (
        alt.Chart(frame)
        .mark_tick(thickness=3, size=34)
        .encode(
            x=alt.X(f"median({value}):Q"),
            y=alt.Y("part:N", sort=PARTS),
            color=alt.Color("part:N", sort=PARTS, legend=None),
        )
    )
    found = "points: perturbations; bars: medians; parts should look similar"
    return finish(points + medians, f"{label} in each part", found, height=260)
