"""Figures of the page Genes."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.style import ACCENT, NEUTRAL, UP, finish, histogram_bars, histogram_counts, legend, thin

ECDF_POINTS = 120
VIOLIN_POINTS = 80
VIOLIN_WIDTH = 0.42
LEAST_WIDTH = 0.002
QUADRANTS = {
    "informative": "#D55E00",
    "housekeeping": "#2A85BD",
    "rare signal or noise": "#C79A1B",
    "uninformative": "#9AA3AD",
}
EXPRESSION_HEIGHT = 360


def means_histogram(genes: pd.DataFrame, *, unit: str) -> alt.Chart:
    """Distribution of the genes' means on a log axis. genes: column mean. Genes never seen are counted apart."""
    means = genes["mean"].to_numpy(float)
    seen = means > 0
    counts = histogram_counts(np.log10(means[seen]), bins=50)
    counts = counts.assign(start=10 ** counts["start"], end=10 ** counts["end"])
    x = alt.X("start:Q", scale=alt.Scale(type="log"), title=f"mean over all cells ({unit})", axis=alt.Axis(tickCount=6))
    bars = histogram_bars(counts, x, y=alt.Y("n:Q", title="genes"), format=".3g", noun="genes")
    subtitle = f"{seen.sum():,} genes are detected in some cell, {(~seen).sum():,} in none"
    return finish(bars, "Distribution of gene means", subtitle, height=360)


def mean_dispersion(frame: pd.DataFrame, *, cuts: tuple[float, float]) -> alt.LayerChart:
    """Genes by mean and dispersion, in four quadrants. frame: gene, means, dispersions, highly_variable, quadrant."""
    points = thin(frame)
    names = [name for name in QUADRANTS if name in set(frame["quadrant"])]
    share = frame["quadrant"].value_counts(normalize=True)
    colours = alt.Scale(domain=names, range=[QUADRANTS[name] for name in names])
    dots = (
        alt.Chart(points)
        .mark_point(filled=True, size=22, opacity=0.6)
        .encode(
            x=alt.X("means:Q", title="mean (log1p of depth-normalised)"),
            y=alt.Y("dispersions:Q", title="dispersion (log of variance / mean)"),
            color=alt.Color("quadrant:N", scale=colours, legend=legend(names)),
            tooltip=[
                alt.Tooltip("gene:N"),
                alt.Tooltip("quadrant:N"),
                alt.Tooltip("means:Q", format=".3f"),
                alt.Tooltip("highly_variable:N"),
            ],
        )
    )
    at = pd.DataFrame({"x": [cuts[0]], "y": [cuts[1]]})
    lines = alt.Chart(at).mark_rule(color=NEUTRAL, strokeDash=[5, 4])
    drawn = f"{len(points):,} of {len(frame):,} genes;"
    shares = [f"{name} {share[name]:.0%}" for name in names]
    return finish(
        dots + lines.encode(x=alt.X("x:Q")) + lines.encode(y=alt.Y("y:Q")),
        "Mean and dispersion",
        [f"{drawn} cut at the medians {cuts[0]:.3g} and {cuts[1]:.3g}", ", ".join(shares)],
        names=names,
        height=360,
        renderer="canvas",
    )


def compute_expression(values: np.ndarray, groups: pd.Series, *, chosen: list[str]) -> pd.DataFrame:
    """One gene in chosen groups of cells: group, n_cells, mean, low, high (95 % interval), nonzero_fraction.

    values : (n_cells,) log1p. groups : (n_cells,) labels.
    """
    rows = []
    for label in chosen:
        own = values[(groups == label).to_numpy()].astype(float)
        if len(own):
            error = 1.96 * own.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else 0.0
            mean = own.mean()
            rows.append((label, len(own), mean, mean - error, mean + error, (own > 0).mean()))
    return pd.DataFrame(rows, columns=["group", "n_cells", "mean", "low", "high", "nonzero_fraction"])


def expression_means(frame: pd.DataFrame, *, gene: str, controls: Sequence[str] = ()) -> alt.LayerChart:
    """Mean and 95 % interval of one gene in each group. frame: as `compute_expression` gives."""
    order = frame["group"].tolist()
    y = alt.Y("group:N", sort=order, title=None, axis=alt.Axis(labelOverlap=False))
    frame = frame.assign(kind=np.where(frame["group"].isin(controls), "control", "other"))
    kinds = ["other", "control"]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[ACCENT, UP]), legend=None)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=["circle", "diamond"]), legend=None)
    tips = [
        alt.Tooltip("group:N"),
        alt.Tooltip("n_cells:Q", title="cells", format=","),
        alt.Tooltip("mean:Q", format=".3f"),
        alt.Tooltip("nonzero_fraction:Q", title="cells with the gene", format=".1%"),
    ]
    base = alt.Chart()  # with the data in each, layering them would print both to tell them apart
    lines = base.mark_rule(strokeWidth=2).encode(y=y, x=alt.X("low:Q"), x2=alt.X2("high:Q"), color=colour)
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        y=y, x=alt.X("mean:Q", title="mean expression (log1p)"), color=colour, shape=shape, tooltip=tips
    )
    text = f"{gene}: mean expression"
    return finish(
        alt.LayerChart(layer=[lines, points], data=frame),
        text,
        "lines: 95 % interval" + ("; diamond: controls" if controls else ""),
        height=EXPRESSION_HEIGHT,
    )


def compute_ecdf(values: np.ndarray, groups: pd.Series, *, chosen: list[str]) -> pd.DataFrame:
    """group, value, share: the share of a group's cells with at least `value` of the gene, log1p."""
    frames: list[pd.DataFrame] = []
    top = float(values.max()) if len(values) else 0.0
    grid = np.linspace(0, top if top > 0 else 1, ECDF_POINTS)
    for label in chosen:
        own = np.sort(values[(groups == label).to_numpy()])
        if len(own):
            share = 1 - np.searchsorted(own, grid, side="left") / len(own)
            share[0] = (own > 0).mean()
            frames.append(pd.DataFrame({"group": label, "value": grid, "share": share}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["group", "value", "share"])


def expression_curves(frame: pd.DataFrame, *, gene: str, controls: Sequence[str] = ()) -> alt.Chart:
    """Share of cells that express at least so much of a gene, a line a group. frame: as `compute_ecdf` gives."""
    order = list(dict.fromkeys(frame["group"]))
    dashes = [[6, 3] if label in controls else [1, 0] for label in order]
    chart = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("value:Q", title=f"expression of {gene} (log1p)"),
            y=alt.Y("share:Q", title="share of cells with at least this value", axis=alt.Axis(format="%")),
            color=alt.Color("group:N", sort=order, legend=legend(order)),
            strokeDash=alt.StrokeDash("group:N", scale=alt.Scale(domain=order, range=dashes), legend=legend(order)),
            tooltip=[
                alt.Tooltip("group:N"),
                alt.Tooltip("value:Q", format=".2f"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    return finish(
        chart,
        f"{gene}: cumulative",
        "dashed: controls" if controls else "cells by batch",
        names=order,
        height=EXPRESSION_HEIGHT,
    )


def compute_violins(values: np.ndarray, groups: pd.Series, *, chosen: list[str]) -> pd.DataFrame:
    """group, place, value, left, right: the smoothed density of each group, all violins of one width.

    values : (n_cells,) log1p. groups : (n_cells,) labels. Densities are Gaussian-smoothed histograms of all cells.
    """
    top = float(values.max()) if len(values) else 0.0
    reach = np.arange(-6, 7)
    room = 1 + reach[-1] / VIOLIN_POINTS  # for what smoothing spreads above the largest value
    edges = np.linspace(0, room * top if top > 0 else 1, VIOLIN_POINTS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    kernel = np.exp(-(reach**2) / 8)
    frames: list[pd.DataFrame] = []
    for label in chosen:
        own = values[(groups == label).to_numpy()]
        if len(own):
            density = np.convolve(np.histogram(own, edges)[0], kernel, mode="same")
            wide = VIOLIN_WIDTH * density / density.max()
            place = len(frames)
            part = pd.DataFrame({"group": label, "place": place, "value": centres, "density": wide})
            seen = np.flatnonzero(wide > LEAST_WIDTH)
            frames.append(part.assign(left=place - wide, right=place + wide)[seen[0] : seen[-1] + 1])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["group", "place", "value"])


def expression_violins(frame: pd.DataFrame, *, gene: str, controls: Sequence[str] = ()) -> alt.Chart:
    """The distribution of one gene in each group. frame: as `compute_violins` gives."""
    order = list(dict.fromkeys(frame["group"]))
    kinds = np.where(frame["group"].isin(controls), "control", "other")
    axis = alt.Axis(
        values=list(range(len(order))),
        tickCount=len(order),
        labelExpr=f"{order!r}[datum.value]",
        labelAngle=-45 if len(order) > 3 else 0,
        labelLimit=84,
        labelOverlap=False,
        grid=False,
        ticks=False,
    )
    chart = (
        alt.Chart(frame.assign(kind=kinds))
        .mark_area(orient="horizontal", opacity=0.9)
        .encode(
            y=alt.Y("value:Q", title=f"expression of {gene} (log1p)"),
            x=alt.X("left:Q", title=None, axis=axis, scale=alt.Scale(domain=[-0.5, max(len(order) - 0.5, 0.5)])),
            x2=alt.X2("right:Q"),
            detail=alt.Detail("group:N"),
            color=alt.Color("kind:N", scale=alt.Scale(domain=["other", "control"], range=[ACCENT, UP]), legend=None),
            tooltip=[alt.Tooltip("group:N")],
        )
    )
    subtitle = "density over all cells, each of one width" + ("; orange: controls" if controls else "")
    return finish(chart, f"{gene}: distribution over cells", subtitle, height=EXPRESSION_HEIGHT)
