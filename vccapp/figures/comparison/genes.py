"""Figures of the page Compare for chosen genes: means, cells, and a heat map of real beside predicted."""

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vccapp.figures.genes import compute_violins
from vccapp.figures.sources import colours
from vccapp.figures.style import LINE, QUIET, SUBTITLE, broken, finish, legend, names_axis, plotly_heading, plotly_text

MAX_NAMES = 50
GROUP = 0.8
"""Of the room of a gene, what its bars take."""
ROW, LEAST_HEIGHT = 15, 380
HALF = 150
"""Pixels of one of the two heat maps in the narrowest card."""


def gene_means(frame: pd.DataFrame, *, label: str) -> alt.LayerChart:
    """Control, real and predicted mean of each gene. frame: gene, source, mean, low, high (NaN: no interval)."""
    names, genes = list(dict.fromkeys(frame["source"])), list(dict.fromkeys(frame["gene"]))
    wide = GROUP / max(len(names), 1)
    place = frame["gene"].map(genes.index) + wide * (frame["source"].map(names.index) - (len(names) - 1) / 2)
    frame = frame.assign(place=place, left=place - wide / 2, right=place + wide / 2)
    axis = names_axis(len(genes))
    axis = alt.Axis(
        **(
            axis.to_dict()
            | {"values": list(range(len(genes))), "tickCount": len(genes), "labelExpr": f"{genes!r}[datum.value]"}
        ),
        grid=False,
    )
    scale = alt.Scale(domain=[-0.5, len(genes) - 0.5], nice=False)
    tips = [alt.Tooltip("gene:N"), alt.Tooltip("source:N")]
    tips += [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("mean", "low", "high")]
    bars = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("left:Q", axis=axis, scale=scale),
            x2=alt.X2("right:Q"),
            y=alt.Y("mean:Q", title="mean expression (log1p)"),
            y2=alt.datum(0),
            color=alt.Color("source:N", scale=colours(names), legend=legend(names)),
            tooltip=tips,
        )
    )
    lines = (
        alt.Chart(frame.dropna(subset=["low", "high"]))
        .mark_rule(strokeWidth=1.5, color=QUIET)
        .encode(x=alt.X("place:Q"), y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )
    note = "lines: 95 % interval of the mean of the measured cells"
    return finish(bars + lines, f"{label}: {len(genes)} genes", note, names=names, height=360)


def gene_cells(values: np.ndarray, sources: pd.Series, *, gene: str) -> tuple[alt.Chart, pd.DataFrame]:
    """Violins of one gene in control, real and predicted cells, and their curves. values: (n,) log1p of `sources`."""
    names = [str(name) for name in sources.cat.categories]
    frame = compute_violins(values, sources, chosen=names)
    chart = (
        alt.Chart(frame)
        .mark_area(orient="horizontal", opacity=0.9)
        .encode(
            y=alt.Y("value:Q", title="expression (log1p)"),
            x=alt.X("left:Q", axis=None, scale=alt.Scale(domain=[-0.5, len(names) - 0.5])),
            x2=alt.X2("right:Q"),
            detail=alt.Detail("group:N"),
            color=alt.Color("group:N", scale=colours(names), legend=legend(names)),
            tooltip=[alt.Tooltip("group:N")],
        )
    )
    means = [f"{values[(sources == name).to_numpy()].mean():.2f}" for name in names]
    note = f"means: {means[0]} control, {means[1]} real, {', '.join(means[2:])} predicted"
    return finish(chart, f"{gene}: cells", note, names=names, height=280), frame


def heat_map(real: np.ndarray, predicted: np.ndarray, *, labels: list[str], genes: list[str], name: str) -> go.Figure:
    """Deltas, real beside predicted on one colour scale around zero. real, predicted : (labels, genes) log1p units."""
    reach = float(np.nanmax(np.abs(np.concatenate([real, predicted])))) if real.size else 1.0
    above = broken([name], SUBTITLE, width=HALF)
    figure = make_subplots(
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.02,
        subplot_titles=["real", "<br>".join(map(plotly_text, above))],
    )
    for column, (values, who) in enumerate(((real, "real"), (predicted, name)), 1):
        figure.add_trace(
            go.Heatmap(
                z=np.round(values, 4).astype(np.float32),
                x=list(map(plotly_text, genes)),
                y=list(map(plotly_text, labels)),
                coloraxis="coloraxis",
                hovertemplate="%{y}, %{x}: %{z:.3f}<extra>" + plotly_text(who) + "</extra>",
            ),
            row=1,
            col=column,
        )
    figure.update_xaxes(
        showticklabels=len(genes) <= MAX_NAMES,
        tickfont={"size": 8},
        tickangle=-90,
        showgrid=False,
        ticks="",
    )
    figure.update_yaxes(
        type="category", showticklabels=False, tickfont={"size": 9}, showgrid=False, ticks="", autorange="reversed"
    )
    figure.update_yaxes(showticklabels=len(labels) <= MAX_NAMES, col=1)
    for turn in (figure.update_xaxes, figure.update_yaxes):
        turn(type="category")  # also where names look like numbers or dates
    figure.update_annotations(font={"size": 12})
    title = f"{len(labels)} perturbations x {len(genes)} genes"
    return figure.update_layout(
        **plotly_heading(title, "delta (log1p); similar genes are next to each other", room=LINE * len(above) + LINE),
        coloraxis={
            "autocolorscale": True,
            "cmin": -reach,
            "cmax": reach,
            "colorbar": {"title": {"text": "delta"}, "thickness": 12, "outlinewidth": 0},
        },
        height=max(LEAST_HEIGHT, ROW * min(len(labels), MAX_NAMES) + 180),
    )
