"""Figures of the page Targets: a perturbation against a signature gene by gene, and what a library recovers."""

import altair as alt
import pandas as pd

from vccapp.figures.style import ACCENT, DOWN, NEUTRAL, UP, finish, legend, names_axis

MOST_BARS = 20
"""Genes for, and genes against, that have a bar."""


def gene_by_gene(frame: pd.DataFrame, *, label: str, kind: str) -> alt.LayerChart:
    """Signature against specific effect. frame: gene, signature, delta, specific, contribution, change."""
    frame = frame[["gene", "signature", "delta", "specific", "contribution", "change"]]
    names = sorted(set(frame["change"]), key=lambda name: name in ("worsened", "opposed"))
    colour = alt.Scale(domain=names, range=[DOWN if name in ("reversed", "mimicked") else UP for name in names])
    shape = alt.Scale(domain=names, range=["circle", "triangle-up"][: len(names)])
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, size=36, opacity=0.7)
        .encode(
            x=alt.X("signature:Q", title="signature (log2 fold change, or as given)", scale=alt.Scale(padding=10)),
            y=alt.Y("specific:Q", title="specific effect (log1p)", scale=alt.Scale(padding=10)),
            color=alt.Color("change:N", scale=colour, legend=legend(names)),
            shape=alt.Shape("change:N", scale=shape, legend=legend(names)),
            tooltip=[
                alt.Tooltip("gene:N"),
                alt.Tooltip("signature:Q", format=".3f"),
                alt.Tooltip("delta:Q", format=".3f"),
                alt.Tooltip("specific:Q", format=".3f"),
                alt.Tooltip("contribution:Q", format=".4f"),
                alt.Tooltip("change:N"),
            ],
        )
    )
    zero = pd.DataFrame({"zero": [0.0]})
    across = alt.Chart(zero).mark_rule(color=NEUTRAL).encode(y=alt.Y("zero:Q"))
    up = alt.Chart(zero).mark_rule(color=NEUTRAL).encode(x=alt.X("zero:Q"))
    note = f"{kind} effect without the library's mean; {len(frame):,} genes that the score reads"
    return finish(across + up + points, f"{label}: gene by gene", note, names=names, height=360)


def contributions(frame: pd.DataFrame, *, label: str) -> alt.Chart:
    """The genes that add most to the score and take most from it. frame: gene, contribution, change; sorted."""
    frame = frame[["gene", "contribution", "change"]]
    few = len(frame) <= 2 * MOST_BARS
    top = frame if few else pd.concat([frame.head(MOST_BARS), frame.tail(MOST_BARS)])
    names = sorted(set(frame["change"]), key=lambda name: name in ("worsened", "opposed"))
    colour = alt.Scale(domain=names, range=[DOWN if name in ("reversed", "mimicked") else UP for name in names])
    bars = (
        alt.Chart(top)
        .mark_bar()
        .encode(
            x=alt.X("gene:N", sort=top["gene"].tolist(), axis=names_axis(len(top))),
            y=alt.Y("contribution:Q", title="part of the score"),
            color=alt.Color("change:N", scale=colour, legend=legend(names)),
            tooltip=[alt.Tooltip("gene:N"), alt.Tooltip("contribution:Q", format=".4f"), alt.Tooltip("change:N")],
        )
    )
    note = "all genes add up to the cosine" + ("" if few else f"; here the {MOST_BARS} at each end")
    return finish(bars, f"{label}: what speaks for it and against it", note, names=names, height=360)


def recovery(frame: pd.DataFrame, *, mean: float, where: str) -> alt.LayerChart:
    """AUROC of each perturbation against the cells of its signature. frame: perturbation, n_cells, place, auroc."""
    frame = frame[["perturbation", "n_cells", "cosine", "place", "auroc"]]
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, size=45, opacity=0.7, color=ACCENT)
        .encode(
            x=alt.X(
                "n_cells:Q",
                title="cells of the signature",
                scale=alt.Scale(zero=False, padding=10),
                axis=alt.Axis(format=",d", tickMinStep=1),
            ),
            y=alt.Y("auroc:Q", title="AUROC", scale=alt.Scale(domain=[0, 1])),
            tooltip=[
                alt.Tooltip("perturbation:N"),
                alt.Tooltip("n_cells:Q", title="cells", format=","),
                alt.Tooltip("place:Q", format=",.0f"),
                alt.Tooltip("auroc:Q", format=".3f"),
            ],
        )
    )
    line = alt.Chart(pd.DataFrame({"y": [0.5]})).mark_rule(color=NEUTRAL, strokeDash=[5, 4]).encode(y=alt.Y("y:Q"))
    note = f"mean {mean:.3f}, n = {len(frame):,}; dashed: chance"
    return finish(line + points, f"{where}: does half of the cells find the other half?", note)
