"""Figures of the page Ledger: the best official score over time, and two submissions score by score."""

import altair as alt
import pandas as pd

from vccapp.figures.sources import colours, shapes
from vccapp.figures.style import finish, legend


def best_over_time(frame: pd.DataFrame, *, label: str) -> alt.LayerChart:
    """Each score at its day, and a step line of the best so far, one for what is comparable.

    frame : season, phase, scale, judged, date, submission, value, best
    """
    where = frame[["season", "phase", "scale", "judged"]].agg(lambda row: " ".join(filter(None, row)), axis=1)
    shown = frame.assign(line=where, date=pd.to_datetime(frame["date"]))
    names = list(dict.fromkeys(where))
    x = alt.X("date:T", title="date", axis=alt.Axis(format="%d %b %Y", labelAngle=-30))
    color = alt.Color("line:N", scale=colours(names), legend=legend(names))
    scale = alt.Scale(zero=False)
    best = (
        alt.Chart(shown)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(x=x, y=alt.Y("best:Q", title=label, scale=scale), color=color)
    )
    points = (
        alt.Chart(shown)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            x=x,
            y=alt.Y("value:Q", title=label, scale=scale),
            color=color,
            shape=alt.Shape("line:N", scale=shapes(names), legend=legend(names)),
            tooltip=[
                alt.Tooltip("submission:N"),
                alt.Tooltip("line:N", title="scored in"),
                alt.Tooltip("date:T", format="%Y-%m-%d"),
                alt.Tooltip("value:Q", format=".4f"),
                alt.Tooltip("best:Q", title="best so far", format=".4f"),
            ],
        )
    )
    told = "points: scores; line: best so far; only scores of one line can be compared"
    return finish(best + points, f"{label} over time", told, names=names, height=320)


def paired_scores(frame: pd.DataFrame, *, a: str, b: str, where: str) -> alt.LayerChart:
    """Two submissions, score by score. frame : metric (as it is called), a, b; in the order to draw"""
    order = frame["metric"].tolist()
    rows = frame.melt(id_vars="metric", value_vars=["a", "b"], var_name="side", value_name="score")
    rows = rows.assign(submission=rows["side"].map({"a": a, "b": b})).dropna(subset="score")
    names = [a, b]
    y = alt.Y("metric:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, labelOverlap=False))
    line = (
        alt.Chart(frame.dropna(subset=["a", "b"]))
        .mark_rule(strokeWidth=1.5, opacity=0.5)
        .encode(x=alt.X("a:Q", title="score"), x2="b:Q", y=y)
    )
    points = (
        alt.Chart(rows)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X("score:Q", title="score"),
            y=y,
            color=alt.Color("submission:N", scale=colours(names), legend=legend(names)),
            shape=alt.Shape("submission:N", scale=shapes(names), legend=legend(names)),
            tooltip=[alt.Tooltip("submission:N"), alt.Tooltip("metric:N"), alt.Tooltip("score:Q", format=".4f")],
        )
    )
    return finish(line + points, f"{a} and {b}", f"official scores: {where}", names=names, height=28 * len(order) + 135)
