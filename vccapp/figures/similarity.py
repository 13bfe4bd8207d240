"""Figures of the page Similarity: which perturbations act alike, and how well each effect is measured."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vccapp.figures.style import (
    ACCENT,
    DOWN,
    NEUTRAL,
    QUIET,
    UP,
    apart,
    finish,
    plotly_heading,
    plotly_names,
    plotly_text,
)

MAX_NAMES = 48
NEIGHBOURS = 10
LABELLED = 8
KINDS = ["other", "control", "chosen"]
SHAPES = ["circle", "diamond", "triangle-up"]
SIZES = [50, 160, 160]


def similarity_heatmap(correlation: np.ndarray, labels: list[str]) -> go.Figure:
    """Correlations of deltas, rows and columns in the order given. correlation: (n, n)."""
    named, shown = len(labels) <= MAX_NAMES, list(map(plotly_text, labels))
    heat = go.Heatmap(
        z=np.round(correlation, 3).astype(np.float32),
        x=shown,
        y=shown,
        zmin=-1,
        zmax=1,
        autocolorscale=True,
        hovertemplate="%{x} and %{y}: %{z:.2f}<extra></extra>",
        colorbar={"title": {"text": "r"}, "thickness": 12, "outlinewidth": 0},
    )
    axis = plotly_names(shown=named)
    title = f"Similarity of {len(labels):,} perturbations"
    return go.Figure(heat).update_layout(
        **plotly_heading(title, "correlation of deltas; similar ones are next to each other"),
        xaxis=axis | {"title": None if named else "perturbations"},
        yaxis=axis | {"autorange": "reversed", "title": None if named else "perturbations"},
        height=560,
    )


def pseudobulk_map(
    frame: pd.DataFrame, *, shares: tuple[float, float], controls: Sequence[str], chosen: str
) -> alt.LayerChart:
    """Pseudobulks on their first two principal components. frame: perturbation, x, y, effect."""
    names = frame["perturbation"]
    frame = frame.assign(kind=np.select([names.isin(controls), names == chosen], ["control", "chosen"], "other"))
    frame = frame.sort_values("kind", key=lambda kind: kind != "other", kind="stable")
    x, y = (
        alt.X("x:Q", title=f"component 1 ({shares[0]:.0%} of the variance)"),
        alt.Y("y:Q", title=f"component 2 ({shares[1]:.0%})"),
    )
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, opacity=0.8)
        .encode(
            x=x,
            y=y,
            color=alt.Color("kind:N", scale=alt.Scale(domain=KINDS, range=[ACCENT, UP, UP]), legend=None),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=KINDS, range=SHAPES), legend=None),
            size=alt.Size("kind:N", scale=alt.Scale(domain=KINDS, range=SIZES), legend=None),
            tooltip=[alt.Tooltip("perturbation:N"), alt.Tooltip("effect:Q", title="effect size", format=".2f")],
        )
    )
    far = frame.assign(far=np.hypot(frame["x"], frame["y"])).sort_values("far", ascending=False, kind="stable")
    own = far["perturbation"] == chosen
    named = apart(pd.concat([far[own], far[~own].head(LABELLED)]), x="x", y="y", across=frame)
    texts = (
        alt.Chart(named).mark_text(dy=-9, fontSize=10, color=QUIET).encode(x=x, y=y, text=alt.Text("perturbation:N"))
    )
    return finish(points + texts, "Map of pseudobulks", f"diamond: the controls; triangle: {chosen}", height=400)


def reliability(frame: pd.DataFrame, *, chosen: str) -> alt.Chart:
    """Split-half reliability against effect size. frame: perturbation, n_cells, effect, reliability."""
    known = frame.dropna(subset="reliability")
    known = known.assign(kind=np.where(known["perturbation"] == chosen, "chosen", "other")).sort_values(
        "kind", ascending=False
    )
    middle = float(known["reliability"].median()) if len(known) else 0.0
    chart = (
        alt.Chart(known)
        .mark_point(filled=True, opacity=0.8)
        .encode(
            color=alt.Color("kind:N", scale=alt.Scale(domain=KINDS, range=[ACCENT, UP, UP]), legend=None),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=KINDS, range=SHAPES), legend=None),
            size=alt.Size("kind:N", scale=alt.Scale(domain=KINDS, range=SIZES), legend=None),
            x=alt.X("effect:Q", title="effect size (log)", scale=alt.Scale(type="log", nice=False, padding=12)),
            y=alt.Y("reliability:Q", title="reliability", scale=alt.Scale(domain=[0, 1])),
            tooltip=[
                alt.Tooltip("perturbation:N"),
                alt.Tooltip("reliability:Q", format=".2f"),
                alt.Tooltip("effect:Q", title="effect size", format=".2f"),
                alt.Tooltip("n_cells:Q", title="cells", format=","),
            ],
        )
    )
    found = f"median {middle:.2f}; triangle: {chosen}" if len(known) else "no perturbation has two halves"
    if 0 < len(known) < len(frame):
        found += f"; {len(frame) - len(known):,} without two halves are left out"
    return finish(chart, "Split-half reliability of deltas", found, height=400)


def neighbours(frame: pd.DataFrame, *, label: str) -> alt.Chart:
    """The perturbations most like and most unlike one. frame: perturbation, r."""
    ranked = frame.sort_values("r", ascending=False, kind="stable")
    shown = ranked if len(ranked) <= 2 * NEIGHBOURS else pd.concat([ranked.head(NEIGHBOURS), ranked.tail(NEIGHBOURS)])
    shown = shown.assign(sign=np.where(shown["r"] > 0, "alike", "opposite"))
    chart = (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            y=alt.Y(
                "perturbation:N",
                sort=shown["perturbation"].tolist(),
                title=None,
                axis=alt.Axis(labelOverlap=False),
            ),
            x=alt.X("r:Q", title="correlation of deltas", scale=alt.Scale(domain=[-1, 1])),
            color=alt.Color("sign:N", scale=alt.Scale(domain=["alike", "opposite"], range=[UP, DOWN]), legend=None),
            tooltip=[alt.Tooltip("perturbation:N"), alt.Tooltip("r:Q", format=".3f")],
        )
    )
    line = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(color=NEUTRAL).encode(x=alt.X("x:Q"))
    found = f"the {NEIGHBOURS} most alike and the {NEIGHBOURS} least" if len(shown) < len(ranked) else "all others"
    return finish(chart + line, f"Closest to {label}", found, height=520)
