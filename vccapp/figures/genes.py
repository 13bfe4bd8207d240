"""Figures of the page Genes."""

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.style import ACCENT, UP, finish, histogram_bars, histogram_counts, legend

ECDF_POINTS = 120
EXPRESSION_HEIGHT = 360


def means_histogram(genes: pd.DataFrame, *, unit: str, marked: str | None = None) -> alt.Chart:
    """Distribution of the genes' means on a log axis. genes: columns gene, mean. Genes never seen are told apart."""
    means = genes["mean"].to_numpy(float)
    seen = means > 0
    counts = histogram_counts(np.log10(means[seen]), bins=50)
    counts = counts.assign(start=10 ** counts["start"], end=10 ** counts["end"])
    x = alt.X("start:Q", scale=alt.Scale(type="log"), title=f"mean over all cells ({unit})", axis=alt.Axis(tickCount=6))
    bars = histogram_bars(counts, x, y=alt.Y("n:Q", title="genes"), format=".3g", noun="genes")
    subtitle = f"{seen.sum():,} genes are seen in some cell, {(~seen).sum():,} in none"
    own = genes.loc[genes["gene"] == marked, "mean"]
    layers = bars
    if len(own) and own.iloc[0] > 0:
        at = pd.DataFrame({"mean": [float(own.iloc[0])], "gene": [marked]})
        layers = bars + alt.Chart(at).mark_rule(color=UP, strokeWidth=2).encode(
            x="mean:Q", tooltip=["gene:N", "mean:Q"]
        )
        subtitle += f"; line: {marked}"
    return finish(layers, "Distribution of gene means", subtitle)


def compute_expression(values: np.ndarray, groups: pd.Series, *, chosen: list[str]) -> pd.DataFrame:
    """One gene in chosen groups of cells: perturbation, n_cells, mean, low, high (95 % interval), nonzero_fraction.

    values : (n_cells,) log1p. groups : (n_cells,) labels.
    """
    rows = []
    for label in chosen:
        own = values[(groups == label).to_numpy()].astype(float)
        if len(own):
            error = 1.96 * own.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else 0.0
            mean = own.mean()
            rows.append((label, len(own), mean, mean - error, mean + error, (own > 0).mean()))
    return pd.DataFrame(rows, columns=["perturbation", "n_cells", "mean", "low", "high", "nonzero_fraction"])


def expression_means(frame: pd.DataFrame, *, gene: str, control: str) -> alt.Chart:
    """Mean and 95 % interval of one gene in each group. frame: as `compute_expression` gives."""
    order = frame["perturbation"].tolist()
    y = alt.Y("perturbation:N", sort=order, title=None, axis=alt.Axis(labelOverlap=False))
    frame = frame.assign(kind=np.where(frame["perturbation"] == control, "control", "perturbed"))
    kinds = ["perturbed", "control"]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[ACCENT, UP]), legend=None)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=["circle", "diamond"]), legend=None)
    tips = [
        "perturbation:N",
        alt.Tooltip("n_cells:Q", title="cells", format=","),
        alt.Tooltip("mean:Q", format=".3f"),
        alt.Tooltip("nonzero_fraction:Q", title="cells with the gene", format=".1%"),
    ]
    base = alt.Chart(frame)
    lines = base.mark_rule(strokeWidth=2).encode(y=y, x="low:Q", x2="high:Q", color=colour)
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        y=y, x=alt.X("mean:Q", title="mean expression (log1p)"), color=colour, shape=shape, tooltip=tips
    )
    text = f"{gene}: mean expression"
    return finish(lines + points, text, "lines: 95 % interval of the mean; diamond: controls", height=EXPRESSION_HEIGHT)


def compute_ecdf(values: np.ndarray, groups: pd.Series, *, chosen: list[str]) -> pd.DataFrame:
    """perturbation, value, share: the share of a group's cells with at least `value` of the gene, log1p."""
    frames = []
    top = float(values.max()) if len(values) else 0.0
    grid = np.linspace(0, top if top > 0 else 1, ECDF_POINTS)
    for label in chosen:
        own = np.sort(values[(groups == label).to_numpy()])
        if len(own):
            share = 1 - np.searchsorted(own, grid, side="left") / len(own)
            share[0] = (own > 0).mean()
            frames.append(pd.DataFrame({"perturbation": label, "value": grid, "share": share}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["perturbation", "value", "share"])


def expression_curves(frame: pd.DataFrame, *, gene: str, control: str) -> alt.Chart:
    """Share of cells that express at least so much of a gene, a line a group. frame: as `compute_ecdf` gives."""
    order = list(dict.fromkeys(frame["perturbation"]))
    dashes = [[6, 3] if label == control else [1, 0] for label in order]
    chart = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("value:Q", title=f"expression of {gene} (log1p)"),
            y=alt.Y("share:Q", title="cells with at least as much", axis=alt.Axis(format="%")),
            color=alt.Color("perturbation:N", sort=order, legend=legend()),
            strokeDash=alt.StrokeDash("perturbation:N", scale=alt.Scale(domain=order, range=dashes), legend=legend()),
            tooltip=["perturbation:N", alt.Tooltip("value:Q", format=".2f"), alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return finish(chart, f"{gene}: distribution over cells", "dashed: controls", height=EXPRESSION_HEIGHT)
