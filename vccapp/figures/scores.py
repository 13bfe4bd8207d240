"""Figures of the page Scores: rows of the leaderboard between floor and limits, and how surely they differ."""

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.sources import colours, shapes
from vccapp.figures.style import ACCENT, DOWN, NEUTRAL, QUIET, UP, finish, legend, thin
from vccapp.references import CONTROL_MEAN, NAMES, OFFICIAL_BASELINE, PERFECT, PERTURBATION_MEAN, REPEAT

ROW, AROUND = 28, 135
"""Pixels of a row, and of title, axis and legend together."""
DASHES = {
    NAMES[CONTROL_MEAN]: [2, 3],
    NAMES[PERTURBATION_MEAN]: [6, 4],
    NAMES[REPEAT]: [14, 3],
    NAMES[PERFECT]: [1, 0],
    OFFICIAL_BASELINE: [6, 4],
}
"""Of the lines of floors and limits."""
VERDICT_NAMES = ["better", "worse", "not distinguishable"]
VERDICTS = alt.Scale(domain=VERDICT_NAMES, range=[ACCENT, UP, NEUTRAL])
VERDICT_SHAPES = alt.Scale(domain=VERDICT_NAMES, range=["circle", "diamond", "square"])
LEVEL = 0.05


def leaderboard_dots(
    groups: pd.DataFrame, runs: pd.DataFrame, marks: pd.DataFrame, *, label: str, note: str
) -> alt.LayerChart:
    """One metric: the mean of each row, its spread over seeds, its single runs, and lines for floors and limits.

    groups : label, mean, sd, seeds, in the order to draw. runs : label, run, value. marks : name (of DASHES), value.
    """
    order = groups["label"].tolist()
    known = [name for name in DASHES if name in set(marks["name"])]
    dashes = [DASHES[name] for name in known]
    x = alt.X("mean:Q", title=label, scale=alt.Scale(zero=False, nice=False, padding=18))
    y = _rows(order)
    spread = groups.assign(low=groups["mean"] - groups["sd"], high=groups["mean"] + groups["sd"]).dropna()
    layers = [
        alt.Chart(marks)
        .mark_rule(color=QUIET, strokeWidth=1.5)
        .encode(
            x=alt.X("value:Q", title=label),
            strokeDash=alt.StrokeDash(
                "name:N", scale=alt.Scale(domain=known, range=dashes), legend=legend(known, symbol=400)
            ),
            tooltip=[alt.Tooltip("name:N"), alt.Tooltip("value:Q", format=".4f")],
        ),
        alt.Chart(spread)
        .mark_rule(color=ACCENT, strokeWidth=2.5)
        .encode(x=alt.X("low:Q", title=label), x2="high:Q", y=y),
        alt.Chart(runs)
        .mark_tick(color=DOWN, thickness=1.5, size=14)
        .encode(
            x=alt.X("value:Q", title=label), y=y, tooltip=[alt.Tooltip("run:N"), alt.Tooltip("value:Q", format=".4f")]
        ),
        alt.Chart(groups)
        .mark_point(filled=True, color=ACCENT, size=80, opacity=1)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("label:N", title="row"),
                alt.Tooltip("mean:Q", format=".4f"),
                alt.Tooltip("sd:Q", title="spread (sd)", format=".4f"),
                alt.Tooltip("seeds:Q"),
            ],
        ),
    ]
    return finish(alt.LayerChart(layer=layers), label, note, names=known, height=ROW * len(order) + AROUND)


def difference_rows(
    differences: pd.DataFrame, pairs: pd.DataFrame, *, best: str, reference: str, label: str
) -> alt.LayerChart:
    """Mean difference of each row from the reference, with its interval, over the differences by perturbation.

    differences : label, n, difference, low, high, p_holm, in the order to draw. best : "high" or "low".
    pairs : label, perturbation, difference.
    """
    order = differences["label"].tolist()
    up = differences["difference"] > 0 if best == "high" else differences["difference"] < 0
    sure = differences["p_holm"] < LEVEL
    shown = differences.assign(verdict=np.select([sure & up, sure], ["better", "worse"], "not distinguishable"))
    y, title = _rows(order), f"difference in {label}"
    x = alt.X("difference:Q", title=title)
    few = thin(pairs, limit=2000)
    layers = [
        alt.Chart(pd.DataFrame({"x": [0.0]}))
        .mark_rule(color=NEUTRAL, strokeDash=[5, 4])
        .encode(x=alt.X("x:Q", title=title)),
        alt.Chart(few)
        .mark_tick(color=NEUTRAL, thickness=1, size=12, opacity=0.7)
        .encode(x=x, y=y, tooltip=[alt.Tooltip("perturbation:N"), alt.Tooltip("difference:Q", format="+.4f")]),
        alt.Chart(shown)
        .mark_rule(strokeWidth=3)
        .encode(
            x=alt.X("low:Q", title=title),
            x2="high:Q",
            y=y,
            color=alt.Color("verdict:N", scale=VERDICTS, legend=legend(VERDICT_NAMES)),
        ),
        alt.Chart(shown)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("verdict:N", scale=VERDICTS, legend=legend(VERDICT_NAMES)),
            shape=alt.Shape("verdict:N", scale=VERDICT_SHAPES, legend=legend(VERDICT_NAMES)),
            tooltip=[
                alt.Tooltip("label:N", title="row"),
                alt.Tooltip("difference:Q", format="+.4f"),
                alt.Tooltip("low:Q", format="+.4f"),
                alt.Tooltip("high:Q", format="+.4f"),
                alt.Tooltip("p_holm:Q", title="p (Holm)", format=".3g"),
                alt.Tooltip("n:Q", title="perturbations"),
            ],
        ),
    ]
    found = f"bar: 95 % interval; ticks: perturbations; significant: p (Holm) < {LEVEL:g}"
    return finish(
        alt.LayerChart(layer=layers),
        f"{label}: difference from {reference}",
        found,
        names=VERDICT_NAMES,
        height=ROW * len(order) + AROUND,
        renderer="canvas",
    )


def split_lines(means: pd.DataFrame, *, label: str) -> alt.LayerChart:
    """One metric of each model on each split. means : split, model, mean, sd, seeds."""
    known = means.dropna(subset="mean")
    spread = known.assign(low=known["mean"] - known["sd"], high=known["mean"] + known["sd"]).dropna(subset="sd")
    names = list(dict.fromkeys(known["model"]))
    x, offset = alt.X("split:N", title="split", axis=alt.Axis(labelAngle=-30)), alt.XOffset("model:N")
    color = alt.Color("model:N", scale=colours(names), legend=legend(names))
    scale = alt.Scale(zero=False)
    points = (
        alt.Chart(known)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            x=x,
            xOffset=offset,
            y=alt.Y("mean:Q", title=label, scale=scale),
            color=color,
            shape=alt.Shape("model:N", scale=shapes(names), legend=legend(names)),
            tooltip=[
                alt.Tooltip("model:N"),
                alt.Tooltip("split:N"),
                alt.Tooltip("mean:Q", format=".4f"),
                alt.Tooltip("sd:Q", title="spread (sd)", format=".4f"),
                alt.Tooltip("seeds:Q"),
            ],
        )
    )
    bars = (
        alt.Chart(spread)
        .mark_rule(strokeWidth=2)
        .encode(x=x, xOffset=offset, y=alt.Y("low:Q", title=label, scale=scale), y2="high:Q", color=color)
    )
    return finish(
        bars + points,
        f"{label} on each split",
        "splits hold different perturbations, so compare models within a split",
        names=names,
        height=400,
    )


def _rows(order: list[str]) -> alt.Y:
    return alt.Y("label:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, labelOverlap=False))
