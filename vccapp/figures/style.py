"""What figures have in common: colours, titles, and thinning of crowded scatters."""

import math
import re
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any, TypeVar

import altair as alt
import numpy as np
import pandas as pd

Drawn = TypeVar("Drawn", alt.Chart, alt.LayerChart)

_PLOTLY = re.compile(r"[&<>{}$]")
UP = "#D55E00"
DOWN = "#3D8FC4"
NEUTRAL = "#9AA3AD"
ACCENT = "#2A85BD"
QUIET = "#7D8996"
ALERT = "#D93025"
"""Of what must not be overlooked; legible on white and on black."""
MAX_POINTS = 1000
"""More points than this in a scatter slow a browser down and hide each other."""
NARROWEST = 414
"""Pixels of a chart in the narrowest card, which is 28rem wide (ui/kit/frame.css)."""
TITLE, SUBTITLE, NAME = 6.8, 5.6, 6.4
"""Pixels of a letter on average, generously: in a title, in the line below it, in a legend."""
LINE = 16
"""Pixels of a line of a title or a legend."""
SIDE = 70
"""Pixels beside the plot, for its axis."""
UNLIMITED = 10_000
"""Pixels of a title, which is broken into lines and not shortened, as it would be at a width that is not yet known."""
SYMBOL = 34
"""Pixels of a legend's symbol with the room around it."""
LABEL = (0.16, 0.05)
"""Room of a name beside a point, as shares of the plot's width and height."""


def finish(
    chart: Drawn,
    text: str,
    subtitle: str | Sequence[str],
    *,
    height: int = 300,
    names: Sequence[str] = (),
    renderer: str = "svg",
) -> Drawn:
    """The chart with its title, a quieter line below it, and the size that cards have.

    Both are broken into lines that fit the narrowest card. height : with one line of each, and one of the legend;
    further lines are added to it. names : of the legend.
    renderer : "canvas" where points are many: a browser needs ten times as long for them as SVG.
    """
    given = [subtitle] if isinstance(subtitle, str) else list(subtitle)
    title = heading(text, given)
    padding = {"left": 4, "top": 2, "right": 4, "bottom": 8}
    done = chart.copy(deep=False)  # `properties` checks each value against the schema: milliseconds a chart
    done.title, done.padding = title, padding
    lines = len(broken([text], TITLE)) + len(broken(given, SUBTITLE)) + max(_legend_rows(names), 1)
    done.height = height + LINE * (lines - 2 - len(given))
    done.usermeta = {"embedOptions": {"renderer": renderer}}
    return done


def heading(text: str, subtitle: Sequence[str], *, width: float = NARROWEST) -> alt.TitleParams:
    """A title and the quieter lines below it, broken where they are wider than `width` pixels."""
    return alt.TitleParams(
        _one_or_more(broken([text], TITLE, width=width)),
        subtitle=_one_or_more(broken(subtitle, SUBTITLE, width=width)),
        anchor="start",
        fontSize=14,
        subtitleFontSize=12,
        subtitleColor=QUIET,
        limit=UNLIMITED,
        offset=10,
    )


def warn_above(chart: Any, text: str) -> Any:
    """The same chart, of Altair or Plotly, with a line in red below its title, which a picture of it keeps."""
    lines = broken([text], SUBTITLE)
    if not isinstance(chart, alt.Chart | alt.LayerChart | alt.FacetChart):
        done = type(chart)(chart)
        known = done.layout.title.subtitle.text
        red = [f'<span style="color:{ALERT}">{plotly_text(line)}</span>' for line in lines]
        done.layout.title.subtitle.text = "<br>".join([*red, *([known] if known else [])])
        done.layout.margin.t = (done.layout.margin.t or 0) + LINE * len(lines)
        return done
    done = chart.copy(deep=False)
    title = done.title if isinstance(done.title, alt.TitleParams) else heading(str(done.title or ""), [])
    done.title = title.copy(deep=False)
    known = title.subtitle if isinstance(title.subtitle, list) else [title.subtitle]
    done.title.subtitle, done.title.subtitleColor = [*lines, *filter(None, known)], ALERT
    if isinstance(done.height, int):
        done.height += LINE * len(lines)
    return done


def plotly_names(*, shown: bool) -> dict[str, Any]:
    """An axis of names, which are no numbers and no dates. shown : whether there is room for them."""
    quiet = {"showgrid": False, "zeroline": False, "ticks": ""}
    return {"showticklabels": shown, "tickfont": {"size": 9}, "type": "category"} | quiet


def plotly_heading(text: str, subtitle: str, *, room: int = 0) -> dict[str, Any]:
    """The parts of a Plotly layout that `finish` gives a chart: title, quieter line, margins.

    room : pixels that the plot needs above itself
    """
    titles, quiet = broken([text], TITLE), broken([subtitle], SUBTITLE)
    title = {
        "text": "<br>".join(map(plotly_text, titles)),
        "font": {"size": 14},
        "subtitle": {"text": "<br>".join(map(plotly_text, quiet)), "font": {"size": 12, "color": QUIET}},
        "x": 0,
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 4},
    }
    top = 52 + room + LINE * (len(titles) + len(quiet) - 2)
    return {"title": title, "margin": {"l": 10, "r": 10, "t": top, "b": 10}}


def plotly_text(name: str) -> str:
    """A name as Plotly shows it: its texts are HTML with links and templates, and formulas where MathJax is loaded."""
    return _PLOTLY.sub(lambda found: f"&#{ord(found[0])};", name)


def broken(lines: Iterable[str], letter: float, *, width: float = NARROWEST) -> list[str]:
    """The lines, each broken where it is wider than `width` pixels. letter : pixels of a letter"""
    return [part for line in lines for part in wrap(line, int(width / letter)) or [""]]


def _one_or_more(lines: list[str]) -> str | list[str]:
    return lines[0] if len(lines) == 1 else lines


def legend(names: Iterable[str], *, symbol: int = 70) -> alt.Legend:
    """A legend of these names below the plot, in as many columns as the narrowest card holds. symbol : its area

    Fixed, as Vega lays out a chart before it knows how wide the plot will be.
    """
    return alt.Legend(
        title=None,
        orient="bottom",
        columns=_legend_columns(names),
        offset=4,
        padding=0,
        symbolSize=symbol,
        labelLimit=alt.ExprRef(f"max(80, width - {SYMBOL})"),
    )


def _legend_columns(names: Iterable[str]) -> int:
    wide = SYMBOL + NAME * max(map(len, names), default=1)
    return max(int((NARROWEST - SIDE) / wide), 1)


def _legend_rows(names: Sequence[str]) -> int:
    """Rows of the legend in the narrowest card."""
    return math.ceil(len(names) / _legend_columns(names))


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
