"""The figure of a calibration: what each metric would be along each knob."""

import altair as alt
import pandas as pd

from vccapp.figures.style import ACCENT, NEUTRAL, QUIET, UP, heading
from vccapp.references import FULL_NAMES, PERFECT, PERTURBATION_MEAN, REPEAT

PANEL = {"width": 160, "height": 120}
"""Pixels: three of them, with their axes, fill the page of a window of 1024."""
COLUMNS = 3
WIDE = 600
PADDING = {"left": 4, "top": 8, "right": 4, "bottom": 8}
"""As a whole: Streamlit changes single sides of it."""
DASHES = {FULL_NAMES[PERTURBATION_MEAN]: [6, 4], FULL_NAMES[REPEAT]: [14, 3], FULL_NAMES[PERFECT]: [1, 0]}


def knob_curves(values: pd.DataFrame, marks: pd.DataFrame, *, title: str, note: str) -> alt.FacetChart:
    """One metric over every knob, a panel each, with its standard error, where the setting stands, and references.

    values : knob (its label), value, mean, se, chosen (the value that the setting has). marks : name, value
    """
    knobs = list(dict.fromkeys(values["knob"]))
    drawn = values.dropna(subset=["value", "mean"]).assign(kind="curve")
    drawn = drawn.assign(low=drawn["mean"] - drawn["se"].fillna(0), high=drawn["mean"] + drawn["se"].fillna(0))
    lines = marks.dropna(subset="value").rename(columns={"value": "mean"}).assign(kind="mark")
    lines = pd.concat([lines.assign(knob=knob) for knob in knobs]) if len(lines) else lines
    both = pd.concat([drawn, lines], ignore_index=True)
    x = alt.X("value:Q", title=None, axis=alt.Axis(tickCount=4))

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))

    tips = [
        alt.Tooltip("value:Q", format="~g"),
        alt.Tooltip("mean:Q", format=".4f"),
        alt.Tooltip("se:Q", title="standard error", format=".4f"),
    ]
    curve = alt.Chart().transform_filter("datum.kind == 'curve'")
    here = curve.transform_filter("datum.value == datum.chosen")
    names = list(dict.fromkeys(lines["name"])) if len(lines) else []
    dash = alt.StrokeDash(
        "name:N",
        scale=alt.Scale(domain=names, range=[DASHES.get(name, [2, 3]) for name in names]),
        legend=alt.Legend(title=None, orient="bottom", columns=1, symbolSize=300, labelLimit=300),
    )
    layers = [
        curve.mark_area(color=ACCENT, opacity=0.2).encode(x=x, y=y("low"), y2="high:Q"),
        alt.Chart()
        .transform_filter("datum.kind == 'mark'")
        .mark_rule(color=QUIET, strokeWidth=1.4)
        .encode(y=y("mean"), strokeDash=dash, tooltip=[alt.Tooltip("name:N"), alt.Tooltip("mean:Q", format=".4f")]),
        here.mark_rule(color=NEUTRAL, strokeDash=[3, 3]).encode(x=x),
        curve.mark_line(color=ACCENT, point=alt.OverlayMarkDef(size=22, color=ACCENT)).encode(
            x=x, y=y("mean"), tooltip=tips
        ),
        here.mark_point(filled=True, size=80, opacity=1, color=UP).encode(x=x, y=y("mean"), tooltip=tips),
    ]
    header = alt.Header(title=None, labelFontSize=12, labelFontWeight="bold")
    return (
        alt.LayerChart(layer=layers, data=both)
        .properties(**PANEL)
        .facet(facet=alt.Facet("knob:N", sort=knobs, header=header), columns=COLUMNS)
        .resolve_scale(x="independent")
        .properties(title=heading(title, [note], width=WIDE), padding=PADDING)
    )
