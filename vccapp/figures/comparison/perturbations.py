"""Figures of the page Compare for all perturbations: the best and the worst, and their confusion."""

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vccapp.figures.style import (
    ACCENT,
    NEUTRAL,
    UP,
    finish,
    heading,
    legend,
    names_axis,
    plotly_heading,
    plotly_names,
    plotly_text,
)

PANEL = {"width": 104, "height": 120}
"""Pixels: four of them, with their axes, fill the page of a window of 1024."""
COLUMNS = 4
WIDE = 600
"""Pixels of the gallery."""
MAX_NAMES = 48
MOST_TAKEN = 15


def gallery(frame: pd.DataFrame, *, title: str, note: str) -> alt.FacetChart:
    """Predicted against real deltas of some perturbations, a panel each, in the frame's order.

    frame : panel (what stands above it), gene, real_delta, predicted_delta.
    """
    panels = list(dict.fromkeys(frame["panel"]))
    reach = frame.groupby("panel", sort=False)[["real_delta", "predicted_delta"]].agg(["min", "max"])
    low, high = reach.min(axis=1), reach.max(axis=1)
    ends = pd.DataFrame(
        {"panel": [*low.index, *high.index], "real_delta": [*low, *high], "predicted_delta": [*low, *high], "gene": ""}
    )
    both = pd.concat([frame.assign(kind="gene"), ends.assign(kind="identity")])
    axis = alt.Axis(tickCount=4, title=None)
    base = alt.Chart().encode(
        x=alt.X("real_delta:Q", axis=axis),
        y=alt.Y("predicted_delta:Q", axis=axis),
    )
    line = base.transform_filter("datum.kind == 'identity'").mark_line(color=NEUTRAL, strokeDash=[5, 4])
    dots = base.transform_filter("datum.kind == 'gene'").mark_point(filled=True, size=20, opacity=0.7, color=ACCENT)
    dots = dots.encode(
        tooltip=[
            alt.Tooltip("gene:N"),
            alt.Tooltip("real_delta:Q", format=".3f"),
            alt.Tooltip("predicted_delta:Q", format=".3f"),
        ]
    )
    header = alt.Header(title=None, labelFontSize=12, labelFontWeight="bold")
    chart = (
        alt.LayerChart(layer=[line, dots], data=both)
        .properties(**PANEL)
        .facet(facet=alt.Facet("panel:N", sort=panels, header=header), columns=COLUMNS)
        .resolve_scale(x="independent", y="independent")
    )
    return chart.properties(title=heading(title, [note], width=WIDE), usermeta={"embedOptions": {"renderer": "canvas"}})


def confusion(ranks: np.ndarray, labels: list[str], *, name: str, unit: str) -> go.Figure:
    """For each prediction (row) how near each real perturbation is. ranks : (n, n), 0 for the nearest.

    The diagonal is dark where predictions lie nearest to their own perturbation.
    """
    named, shown = len(labels) <= MAX_NAMES, list(map(plotly_text, labels))
    heat = go.Heatmap(
        z=ranks + 1,
        x=shown,
        y=shown,
        colorscale="Viridis",
        reversescale=False,
        hovertemplate="prediction for %{y}<br>real %{x}: nearest no. %{z}<extra></extra>",
        colorbar={"title": {"text": "place"}, "thickness": 12, "outlinewidth": 0},
    )
    axis = plotly_names(shown=named)
    note = f"by {unit}; rank 1 = closest; similar ones are next to each other"
    return go.Figure(heat).update_layout(
        **plotly_heading(f"{name}: confusion", note),
        xaxis=axis | {"title": "real"},
        yaxis=axis | {"autorange": "reversed", "title": "predicted"},
        height=540,
    )


def taken_for(frame: pd.DataFrame) -> alt.Chart:
    """Real perturbations that are closest to most predictions. frame: perturbation, nearest."""
    counts = frame["nearest"].value_counts().head(MOST_TAKEN).rename_axis("nearest").reset_index(name="n")
    own = set(frame.loc[frame["nearest"] == frame["perturbation"], "nearest"])
    kinds = ["including its own prediction", "only predictions of others"]
    counts["kind"] = np.where(counts["nearest"].isin(own), *kinds)
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            x=alt.X("nearest:N", sort=counts["nearest"].tolist(), axis=names_axis(len(counts))),
            y=alt.Y("n:Q", title="predictions closest to it", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=kinds, range=[ACCENT, UP]),
                legend=legend(kinds),
            ),
            tooltip=[alt.Tooltip("nearest:N"), alt.Tooltip("n:Q", title="predictions")],
        )
    )
    right = int((frame["nearest"] == frame["perturbation"]).sum())
    return finish(
        chart,
        "Closest real perturbation",
        f"{right} of {len(frame)} predictions are closest to their own",
        names=kinds,
        height=420,
    )
