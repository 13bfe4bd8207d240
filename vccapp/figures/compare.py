"""Figures of the page Compare: predicted against real."""

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.style import diagonal, finish, legend, names_axis, shown, thin


def agreement(frame: pd.DataFrame, *, x: str, y: str, label: str, unit: str) -> alt.Chart:
    """Predicted (y) against real (x), a point a gene and perturbation. frame: perturbation, gene, `x`, `y`."""
    frame = frame[["perturbation", "gene", x, y]]
    points = thin(frame, frame[x].abs().to_numpy())
    low = float(np.nanmin(frame[[x, y]].to_numpy())) if len(frame) else 0.0
    high = float(np.nanmax(frame[[x, y]].to_numpy())) if len(frame) else 1.0
    few = frame["perturbation"].nunique() <= 8
    dots = (
        alt.Chart(points)
        .mark_point(filled=True, size=34, opacity=0.7)
        .encode(
            x=alt.X(f"{x}:Q", title=f"real {unit}"),
            y=alt.Y(f"{y}:Q", title=f"predicted {unit}"),
            tooltip=[
                alt.Tooltip("perturbation:N"),
                alt.Tooltip("gene:N"),
                alt.Tooltip(f"{x}:Q", format=".4f"),
                alt.Tooltip(f"{y}:Q", format=".4f"),
            ],
        )
    )
    if few:
        dots = dots.encode(
            color=alt.Color("perturbation:N", legend=legend()), shape=alt.Shape("perturbation:N", legend=legend())
        )
    found = f"{shown(frame, points, 'points')}; dashed: predicted = real"
    return finish(diagonal(low, high) + dots, label, found, height=400, renderer="canvas")


def scores_by_perturbation(scores: pd.DataFrame, *, score: str, label: str) -> alt.Chart:
    """One score of each perturbation for the run and the baselines. scores: perturbation, model, `score`; the first
    model orders the perturbations.
    """
    own = scores[scores["model"] == scores["model"].iloc[0]].sort_values(score, ascending=False, kind="stable")
    order = own["perturbation"].tolist()
    known = scores[["perturbation", "model", score]].dropna()
    chart = (
        alt.Chart(known)
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            x=alt.X("perturbation:N", sort=order, axis=names_axis(len(order))),
            y=alt.Y(f"{score}:Q", title=label),
            color=alt.Color("model:N", legend=legend()),
            shape=alt.Shape("model:N", legend=legend()),
            tooltip=[alt.Tooltip("perturbation:N"), alt.Tooltip("model:N"), alt.Tooltip(f"{score}:Q", format=".4f")],
        )
    )
    return finish(chart, f"{label}, each perturbation", "a constant prediction has no correlation", height=340)
