"""Figures of the page Perturbations: DEGs of all, and one in detail."""

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.style import (
    ACCENT,
    DOWN,
    NEUTRAL,
    UP,
    diagonal,
    finish,
    histogram_bars,
    histogram_counts,
    legend,
    names_axis,
    shown,
    thin,
)

MAX_BARS = 40
TOP = 50
EDGE = 1.15
"""Where infinite fold changes stand, as a multiple of the largest finite one."""
STRONG = 0.3
"""A target that keeps less than this counts as knocked down well."""
DIRECTION_NAMES = ["up", "down", "not significant"]
DIRECTIONS = alt.Scale(domain=DIRECTION_NAMES, range=[UP, DOWN, NEUTRAL])
SHAPES = alt.Scale(domain=DIRECTION_NAMES, range=["triangle-up", "triangle-down", "circle"])


def classify(de: pd.DataFrame, *, fdr: float, min_abs_lfc: float) -> np.ndarray:
    """'up', 'down' or 'not significant' of each gene. de: columns fdr, log2_fold_change."""
    lfc = de["log2_fold_change"].to_numpy(float)
    significant = (de["fdr"].to_numpy(float) < fdr) & (np.abs(lfc) >= min_abs_lfc) & (lfc != 0)
    return np.where(~significant, "not significant", np.where(lfc > 0, "up", "down"))


def deg_bars(counts: pd.DataFrame, *, rule: str) -> alt.Chart:
    """DEGs up and down for the perturbations with most. counts: perturbation, degs, up, down. rule: what a DEG is."""
    top = counts.sort_values("degs", ascending=False, kind="stable").head(MAX_BARS)
    order = top["perturbation"].tolist()
    tidy = pd.concat(
        [
            pd.DataFrame({"perturbation": top["perturbation"], "direction": "up", "n": top["up"], "genes": top["up"]}),
            pd.DataFrame(
                {"perturbation": top["perturbation"], "direction": "down", "n": -top["down"], "genes": top["down"]}
            ),
        ]
    )
    chart = (
        alt.Chart(tidy)
        .mark_bar()
        .encode(
            x=alt.X("perturbation:N", sort=order, axis=names_axis(len(top))),
            y=alt.Y(
                "n:Q", title="DEGs down | up", axis=alt.Axis(labelExpr="format(abs(datum.value), ',')", tickMinStep=1)
            ),
            color=alt.Color(
                "direction:N", scale=alt.Scale(domain=["up", "down"], range=[UP, DOWN]), legend=legend(["up", "down"])
            ),
            tooltip=[alt.Tooltip("perturbation:N"), alt.Tooltip("direction:N"), alt.Tooltip("genes:Q", format=",")],
        )
    )
    few = f": the {len(top)} with most of {len(counts):,}" if len(top) < len(counts) else ""
    return finish(chart, f"DEGs per perturbation{few}", rule, height=340)


def delta_histogram(delta: np.ndarray, *, label: str) -> alt.Chart:
    """Distribution of the deltas of one perturbation over the genes, counts on a symlog axis. delta: (n_genes,)."""
    counts = histogram_counts(delta, bins=80)
    counts["direction"] = np.where((counts["start"] + counts["end"]) > 0, "up", "down")
    scale = alt.Scale(type="symlog")
    y = alt.Y(
        "n:Q",
        title="genes (symlog)",
        scale=scale,
        axis=alt.Axis(values=[0, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4]),
    )
    x = alt.X("start:Q", title="delta (log1p, perturbed minus control)")
    chart = histogram_bars(counts[counts["n"] > 0], x, y=y, format=".3f", noun="genes")
    chart = chart.encode(color=alt.Color("direction:N", scale=DIRECTIONS, legend=None))
    spread = float(np.std(delta)) if len(delta) else 0.0
    return finish(chart, f"{label}: distribution of deltas", f"standard deviation {spread:.4f}")


def top_deltas(frame: pd.DataFrame, *, label: str) -> alt.Chart:
    """The TOP genes by |delta|, as bars. frame: gene, delta."""
    frame = frame[["gene", "delta"]]
    top = frame.reindex(frame["delta"].abs().sort_values(ascending=False, kind="stable").index).head(TOP)
    top = top.assign(direction=np.where(top["delta"] > 0, "up", "down")).sort_values("delta", ascending=False)
    chart = (
        alt.Chart(top)
        .mark_bar()
        .encode(
            x=alt.X("gene:N", sort=top["gene"].tolist(), axis=names_axis(len(top))),
            y=alt.Y("delta:Q", title="delta (log1p)"),
            color=alt.Color("direction:N", scale=DIRECTIONS, legend=None),
            tooltip=[alt.Tooltip("gene:N"), alt.Tooltip("delta:Q", format=".4f")],
        )
    )
    return finish(chart, f"{label}: the {len(top)} largest deltas", "perturbed minus control, log1p")


def mean_scatter(frame: pd.DataFrame, *, label: str) -> alt.Chart:
    """Mean expression in perturbed against control cells, log axes that include zero.

    frame : gene, control, perturbed, direction.
    """
    frame = frame[["gene", "control", "perturbed", "direction"]]
    points = thin(frame, (frame["perturbed"] - frame["control"]).abs().to_numpy())
    high = float(max(frame["control"].max(), frame["perturbed"].max()))
    scale = alt.Scale(type="symlog", constant=0.01, domain=[0, high], nice=False)
    axis = alt.Axis(values=[0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10], format="~g")
    dots = (
        alt.Chart(points)
        .mark_point(filled=True, size=28, opacity=0.65)
        .encode(
            x=alt.X("control:Q", title="controls: mean log1p", scale=scale, axis=axis),
            y=alt.Y("perturbed:Q", title=f"{label}: mean log1p", scale=scale, axis=axis),
            color=alt.Color("direction:N", scale=DIRECTIONS, legend=legend(DIRECTION_NAMES)),
            shape=alt.Shape("direction:N", scale=SHAPES, legend=legend(DIRECTION_NAMES)),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("gene:N"),
                alt.Tooltip("control:Q", format=".3f"),
                alt.Tooltip("perturbed:Q", format=".3f"),
            ],
        )
        .transform_calculate(rank="datum.direction == 'not significant' ? 0 : 1")
    )
    chart = diagonal(0, high) + dots
    return finish(
        chart,
        f"{label} against controls",
        shown(frame, points, "genes"),
        names=DIRECTION_NAMES,
        height=360,
        renderer="canvas",
    )


def volcano(frame: pd.DataFrame, *, label: str, rule: str) -> alt.Chart:
    """Fold change against evidence; infinite fold changes, of genes that one side lacks, as diamonds at the edges.

    frame : gene, p_value, fdr, log2_fold_change, direction.
    """
    frame = frame[["gene", "p_value", "fdr", "log2_fold_change", "direction"]]
    tested = frame[frame["p_value"].notna() & frame["log2_fold_change"].notna()]
    p, fold = tested["p_value"].to_numpy(float), tested["log2_fold_change"].to_numpy(float)
    infinite = np.isinf(fold)
    edge = EDGE * max(np.abs(fold[~infinite]).max(initial=0), 1)
    tested = tested.assign(
        evidence=-np.log10(np.clip(p, 1e-300, 1)),
        place=np.clip(fold, -edge, edge),
        fold=[f"{value:.2f}" if np.isfinite(value) else "-∞" if value < 0 else "∞" for value in fold],
    ).drop(columns="log2_fold_change")
    points = pd.concat([thin(own, own["evidence"].to_numpy()) for own in (tested[~infinite], tested[infinite])])
    at_edge = alt.expr.abs(alt.datum.place) == edge
    chart = (
        alt.Chart(points)
        .mark_point(filled=True, opacity=0.65)
        .encode(
            x=alt.X("place:Q", title="log2 fold change"),
            y=alt.Y("evidence:Q", title="-log10 p (300 at most)"),
            color=alt.Color("direction:N", scale=DIRECTIONS, legend=legend(DIRECTION_NAMES)),
            shape=alt.condition(
                at_edge,
                alt.value("diamond"),
                alt.Shape("direction:N", scale=SHAPES, legend=legend(DIRECTION_NAMES)),
            ),
            size=alt.condition(at_edge, alt.value(80), alt.value(28)),
            tooltip=[
                alt.Tooltip("gene:N"),
                alt.Tooltip("fold:N", title="log2_fold_change"),
                alt.Tooltip("p_value:Q", format=".2e"),
                alt.Tooltip("fdr:Q", format=".2e"),
            ],
        )
    )
    found = [f"marked: {rule}"]
    if infinite.any():
        found.append(f"{infinite.sum():,} at the edges (diamonds): infinite, on one side alone")
    if len(frame) > len(tested):
        found.append(f"{len(frame) - len(tested):,} genes without a test are left out")
    return finish(chart, f"{label}: volcano", "; ".join(found), names=DIRECTION_NAMES, height=360, renderer="canvas")


def knockdown_strip(frame: pd.DataFrame, guides: pd.DataFrame) -> alt.LayerChart:
    """Expression left on each perturbed gene, ranked, with that of its guides; NaN left out.

    frame : perturbation, knockdown (fraction left). guides : perturbation, guide, n_cells, knockdown.
    """
    known = (
        frame[["perturbation", "knockdown"]].dropna().sort_values(["knockdown", "perturbation"]).reset_index(drop=True)
    )
    known["rank"] = np.arange(1, len(known) + 1)
    own = guides.merge(known[["perturbation", "rank"]], on="perturbation")
    order, few = known["perturbation"].tolist(), len(known) <= MAX_BARS
    x = alt.X(
        "perturbation:N" if few else "rank:Q",
        sort=order,
        title="perturbations, from strongest to weakest knock-down",
        axis=names_axis(len(order)) if few else alt.Axis(tickMinStep=1),
        scale=alt.Undefined if few else alt.Scale(nice=False),
    )
    y = alt.Y("knockdown:Q", title="remaining target expression", axis=alt.Axis(format="%"))
    left_over = alt.Tooltip("knockdown:Q", title="left", format=".1%")
    points = (
        alt.Chart(known)
        .mark_point(filled=True, color=ACCENT, size=45, opacity=1)
        .encode(x=x, y=y, tooltip=[alt.Tooltip("perturbation:N"), left_over])
    )
    fine = (
        alt.Chart(own)
        .mark_tick(color=UP, thickness=1.5, size=7, orient="horizontal", opacity=0.8)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("guide:N"),
                alt.Tooltip("perturbation:N"),
                alt.Tooltip("n_cells:Q", title="cells"),
                left_over,
            ],
        )
    )
    line = alt.Chart(pd.DataFrame({"y": [1.0]})).mark_rule(color=NEUTRAL, strokeDash=[5, 4]).encode(y=alt.Y("y:Q"))
    strong = int((known["knockdown"] < STRONG).sum())
    found = f"{strong:,} of {len(known):,} targets have less than {STRONG:.0%}; ticks: guides; dashed: no knock-down"
    if len(frame) > len(known):
        found += f"; {len(frame) - len(known):,} without a measured target are left out"
    return finish(line + fine + points, "On-target knock-down", found, renderer="canvas")


def guide_bars(guides: pd.DataFrame, *, label: str) -> alt.LayerChart:
    """Expression left on the target of one perturbation, by guide. guides: guide, n_cells, knockdown."""
    tips = [
        alt.Tooltip("guide:N"),
        alt.Tooltip("n_cells:Q", title="cells", format=","),
        alt.Tooltip("knockdown:Q", format=".1%"),
    ]
    bars = (
        alt.Chart(guides)
        .mark_bar(color=ACCENT, height={"band": 0.6})
        .encode(
            y=alt.Y("guide:N", title=None),
            x=alt.X("knockdown:Q", title="remaining target expression", axis=alt.Axis(format="%")),
            tooltip=tips,
        )
    )
    line = alt.Chart(pd.DataFrame({"x": [1.0]})).mark_rule(color=NEUTRAL, strokeDash=[5, 4]).encode(x=alt.X("x:Q"))
    return finish(bars + line, f"{label}: knock-down by guide", "dashed: level of the controls")
