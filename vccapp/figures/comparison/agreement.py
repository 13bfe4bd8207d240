"""Figures of the page Compare: predicted against real, perturbation by perturbation, and two runs."""

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.sources import colours, shapes
from vccapp.figures.style import DOWN, MAX_POINTS, NEUTRAL, QUIET, UP, diagonal, finish, legend, names_axis, thin

MAX_COLOURS = 8
MAX_NAMES = 60
BASELINE_POINTS = 250
BAND_POINTS = 40
MOST_GENES = 40


def agreement(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    unit: str,
    band: pd.DataFrame | None = None,
    baseline: pd.DataFrame | None = None,
    note: str = "",
    limit: int = MAX_POINTS,
) -> alt.LayerChart:
    """Predicted (y) against real (x), a point a gene and perturbation. frame, baseline: perturbation, gene, `x`, `y`.

    The line is the identity, the baseline's points are grey strokes.
    band : value, spread; where 95 % of the genes of a repeated experiment would lie.
    limit : points drawn at most
    """
    frame = frame[["perturbation", "gene", x, y]]
    points = thin(frame, frame[x].abs().to_numpy(), limit=limit)
    low = float(np.nanmin(frame[[x, y]].to_numpy())) if len(frame) else 0.0
    high = float(np.nanmax(frame[[x, y]].to_numpy())) if len(frame) else 1.0
    dots = _dots(points, x=x, y=y, unit=unit).mark_point(filled=True, size=34, opacity=0.7)
    names = list(dict.fromkeys(frame["perturbation"]))
    few_names = len(names) <= MAX_COLOURS
    if few_names:
        dots = dots.encode(
            color=alt.Color("perturbation:N", legend=legend(names)),
            shape=alt.Shape("perturbation:N", legend=legend(names)),
        )
    layers = [diagonal(low, high), dots]
    if baseline is not None:
        few = thin(baseline[frame.columns], baseline[x].abs().to_numpy(), limit=BASELINE_POINTS)
        layers.insert(0, _dots(few, x=x, y=y, unit=unit).mark_point(shape="stroke", size=26, color=QUIET, opacity=0.7))
    if band is not None and len(band):
        layers.insert(0, _band(band, low=low, high=high))
    drawn = f"{len(points):,} of {len(frame):,} points" if len(points) < len(frame) else f"{len(frame):,} points"
    return finish(
        alt.LayerChart(layer=layers),
        title,
        [*([note] if note else []), drawn],
        names=names if few_names else (),
        height=360,
        renderer="canvas",
    )


def _dots(frame: pd.DataFrame, *, x: str, y: str, unit: str) -> alt.Chart:
    return (
        alt.Chart(frame)
        .mark_point()
        .encode(
            x=alt.X(f"{x}:Q", title=f"real {unit}"),
            y=alt.Y(f"{y}:Q", title=f"predicted {unit}"),
            tooltip=[
                alt.Tooltip("perturbation:N"),
                alt.Tooltip("gene:N"),
                alt.Tooltip(f"{x}:Q", format=".4f"),
                alt.Tooltip(f"{y}:Q", format=".4f"),
            ],
        )
    )


def _band(band: pd.DataFrame, *, low: float, high: float) -> alt.Chart:
    value = np.linspace(low, high, BAND_POINTS)
    spread = np.interp(value, band["value"], band["spread"])
    frame = pd.DataFrame({"value": value, "low": value - spread, "high": value + spread})
    return (
        alt.Chart(frame)
        .mark_area(color=NEUTRAL, opacity=0.22, clip=True)
        .encode(x=alt.X("value:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )


def by_perturbation(
    frame: pd.DataFrame, *, value: str, label: str, title: str, note: str, order: list[str]
) -> alt.Chart:
    """One value of each perturbation for everything compared. frame: perturbation, source, `value`."""
    known = frame[["perturbation", "source", value]].dropna()
    names = list(dict.fromkeys(frame["source"]))
    axis = names_axis(len(order)) if len(order) <= MAX_NAMES else alt.Axis(labels=False, ticks=False)
    chart = (
        alt.Chart(known)
        .mark_point(filled=True, size=60, opacity=0.85)
        .encode(
            x=alt.X("perturbation:N", sort=order, axis=axis, title=f"{len(order)} perturbations"),
            y=alt.Y(f"{value}:Q", title=label),
            color=alt.Color("source:N", scale=colours(names), legend=legend(names)),
            shape=alt.Shape("source:N", scale=shapes(names), legend=legend(names)),
            tooltip=[alt.Tooltip("perturbation:N"), alt.Tooltip("source:N"), alt.Tooltip(f"{value}:Q", format=".4f")],
        )
    )
    return finish(chart, title, note, names=names, height=340, renderer="canvas")


def score_differences(frame: pd.DataFrame, *, label: str, names: tuple[str, str], best: str) -> alt.Chart:
    """First minus second of each perturbation, sorted. frame: perturbation, first, second, difference.

    best : "high" when more is better, else "low".
    """
    first, second = (f"{name} is better" for name in names)
    sign = frame["difference"] * (1 if best == "high" else -1)
    frame = frame.assign(better=np.select([sign > 0, sign < 0], [first, second], "alike"))
    order = frame["perturbation"].tolist()
    axis = names_axis(len(order)) if len(order) <= MAX_NAMES else alt.Axis(labels=False, ticks=False)
    tips = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("first", "second", "difference")]
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("perturbation:N", sort=order, axis=axis, title=f"{len(order)} perturbations"),
            y=alt.Y("difference:Q", title=f"{label}: difference"),
            color=alt.Color(
                "better:N",
                scale=alt.Scale(domain=[first, second, "alike"], range=[UP, DOWN, NEUTRAL]),
                legend=legend([first, second]),
            ),
            tooltip=[alt.Tooltip("perturbation:N"), *tips],
        )
    )
    found = f"{names[0]} better for {int((sign > 0).sum())}, {names[1]} for {int((sign < 0).sum())} of {len(frame)}"
    return finish(chart, f"{label}: {names[0]} minus {names[1]}", found, names=[first, second], height=340)


def gene_differences(frame: pd.DataFrame, *, names: tuple[str, str]) -> alt.Chart:
    """The genes at which two predictions differ most in error. frame: gene, first_error, second_error, difference."""
    ranked = frame[frame["difference"] != 0].sort_values("difference", key=np.abs, ascending=False, kind="stable")
    top = ranked.head(MOST_GENES).sort_values("difference", kind="stable")
    first, second = (f"{name} is closer" for name in names)
    top = top.assign(closer=np.where(top["difference"] < 0, first, second))
    chart = (
        alt.Chart(top)
        .mark_bar()
        .encode(
            x=alt.X("gene:N", sort=top["gene"].tolist(), axis=names_axis(len(top))),
            y=alt.Y("difference:Q", title="difference of mean |error| (log1p)"),
            color=alt.Color(
                "closer:N", scale=alt.Scale(domain=[first, second], range=[UP, DOWN]), legend=legend([first, second])
            ),
            tooltip=[
                alt.Tooltip("gene:N"),
                alt.Tooltip("first_error:Q", title=names[0], format=".4f"),
                alt.Tooltip("second_error:Q", title=names[1], format=".4f"),
            ],
        )
    )
    note = f"the {len(top)} genes that differ most, of {len(frame):,}"
    return finish(chart, f"Error by gene: {names[0]} minus {names[1]}", note, names=[first, second], height=380)
