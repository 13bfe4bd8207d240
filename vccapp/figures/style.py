"""What figures have in common: colours, titles, and thinning of crowded scatters."""

from typing import TypeVar

import altair as alt
import numpy as np
import pandas as pd

Drawn = TypeVar("Drawn", alt.Chart, alt.LayerChart)

UP = "#D55E00"
DOWN = "#3D8FC4"
NEUTRAL = "#9AA3AD"
ACCENT = "#2A85BD"
QUIET = "#7D8996"
MAX_POINTS = 1000
"""More points than this in a scatter slow a browser down and hide each other."""
AT_TOP = {"x": 0, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 4}}
"""Where a Plotly title stands, as `finish` places that of a chart."""
LABEL = (0.16, 0.05)
"""Room of a name beside a point, as shares of the plot's width and height."""


def finish(chart: Drawn, text: str, subtitle: str | list[str], *, height: int = 300, renderer: str = "svg") -> Drawn:
    """The chart with its title, a quieter line below it, and the size that cards have.

    renderer : "canvas" where points are many: a browser needs ten times as long for them as SVG.
    """
    title = alt.TitleParams(
        text, subtitle=subtitle, anchor="start", fontSize=14, subtitleFontSize=12, subtitleColor=QUIET, offset=10
    )
    padding = {"left": 0, "top": 2, "right": 4, "bottom": 8}
    done = chart.copy(deep=False)  # `properties` checks each value against the schema: milliseconds a chart
    done.title, done.height, done.padding = title, height, padding
    done.usermeta = {"embedOptions": {"renderer": renderer}}
    return done


def legend(*, columns: int = 4) -> alt.Legend:
    """A legend below the plot."""
    return alt.Legend(title=None, orient="bottom", columns=columns, offset=4, padding=0, symbolSize=70, labelLimit=260)


def names_axis(n: int) -> alt.Axis:
    """An axis of names on which every name is written."""
    return alt.Axis(title=None, labelAngle=-90 if n > 12 else -45, labelLimit=84, labelOverlap=False, labelFontSize=10)


def thin(frame: pd.DataFrame, importance: np.ndarray | None = None, *, limit: int = MAX_POINTS) -> pd.DataFrame:
    """At most `limit` rows at even steps through the frame's order; where importance is given, half of them by it."""
    if len(frame) <= limit:
        return frame
    if importance is None:
        return frame.iloc[np.linspace(0, len(frame) - 1, limit).astype(int)]
    ranked = np.argsort(-np.nan_to_num(np.asarray(importance, float)), kind="stable")
    others = np.sort(ranked[limit // 2 :])
    steps = np.unique(np.linspace(0, len(others) - 1, limit - limit // 2).astype(int))
    return frame.iloc[np.sort(np.concatenate([ranked[: limit // 2], others[steps]]))]


def apart(frame: pd.DataFrame, *, x: str, y: str, across: pd.DataFrame) -> pd.DataFrame:
    """The rows whose names would not hide that of a row before them. across: all that the axes hold."""
    width, height = (max(float(np.ptp(across[name])), 1e-12) for name in (x, y))
    kept: list[int] = []
    places = frame[[x, y]].to_numpy(float) / (width, height)
    for row, place in enumerate(places):
        if all((np.abs(place - places[other]) > LABEL).any() for other in kept):
            kept.append(row)
    return frame.iloc[kept]


def shown(frame: pd.DataFrame, points: pd.DataFrame, noun: str) -> str:
    """How much of a frame a thinned chart shows."""
    if len(points) == len(frame):
        return f"{len(frame):,} {noun}"
    return f"{len(points):,} of {len(frame):,} {noun}, including all of the strongest"


def diagonal(low: float, high: float) -> alt.Chart:
    """The line on which both axes agree."""
    ends = pd.DataFrame({"x": [low, high], "y": [low, high]})
    return (
        alt.Chart(ends)
        .mark_line(color=NEUTRAL, strokeDash=[5, 4], strokeWidth=1.2)
        .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"))
    )


def histogram_bars(counts: pd.DataFrame, x: alt.X, *, y: alt.Y, format: str, noun: str) -> alt.Chart:
    """Bars of `histogram_counts`, from zero up."""
    tips = [
        alt.Tooltip("start:Q", title="from", format=format),
        alt.Tooltip("end:Q", title="to", format=format),
        alt.Tooltip("n:Q", title=noun, format=","),
    ]
    return alt.Chart(counts).mark_rect(color=ACCENT).encode(x=x, x2=alt.X2("end:Q"), y=y, y2=alt.datum(0), tooltip=tips)


def histogram_counts(values: np.ndarray, *, bins: int) -> pd.DataFrame:
    """Bin edges and counts of the finite values: columns start, end, n."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return pd.DataFrame({"start": [], "end": [], "n": []})
    counts, edges = np.histogram(finite, bins=bins)
    return pd.DataFrame({"start": edges[:-1], "end": edges[1:], "n": counts})
