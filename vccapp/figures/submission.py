"""Figures of the page Submit."""

import altair as alt
import pandas as pd

from vccapp.figures.style import ACCENT, UP, finish, names_axis

FEW, BAR = 4, 60
"""So few bars would be as wide as the page; their pixels instead."""
MAX_NAMES = 45
"""More names than this cannot all be read below a chart of the narrowest page; the pointer says them."""


def budget_bars(frame: pd.DataFrame, *, alpha: float) -> alt.Chart:
    """Cells wanted and planned per perturbation. frame: perturbation, wanted, given[, power]."""
    order = frame.sort_values("wanted", ascending=False, kind="stable")["perturbation"].tolist()
    axis = (
        names_axis(len(order))
        if len(order) <= MAX_NAMES
        else alt.Axis(title="perturbations", labels=False, ticks=False)
    )
    x = alt.X("perturbation:N", sort=order, axis=axis)
    tips = [
        alt.Tooltip("perturbation:N"),
        alt.Tooltip("wanted:Q", format=","),
        alt.Tooltip("given:Q", title="planned", format=","),
        *([alt.Tooltip("power:Q", format=".0%")] if "power" in frame else []),
    ]
    base = alt.Chart(frame)
    wanted = base.mark_tick(thickness=2, color=UP).encode(x=x, y=alt.Y("wanted:Q", title="cells"), tooltip=tips)
    bars = base.mark_bar(color=ACCENT, size=BAR) if len(order) <= FEW else base.mark_bar(color=ACCENT)
    given = bars.encode(x=x, y=alt.Y("given:Q"), tooltip=tips)
    return finish(given + wanted, "Cells per perturbation", f"bars: planned; ticks: requested; scaled by {alpha:.4f}")
