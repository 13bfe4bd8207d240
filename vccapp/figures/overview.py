"""Figures of the page Overview: how many cells, how deep."""

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.style import ACCENT, UP, finish, histogram_bars, histogram_counts, names_axis

MAX_BARS = 40


def cells_ranked(frame: pd.DataFrame, *, name: str, control: str | None = None) -> alt.LayerChart:
    """Cells per group, the largest first. frame: columns `name`, n_cells; the control is left out."""
    groups = (
        frame.loc[frame[name] != control, [name, "n_cells"]]
        .sort_values("n_cells", ascending=False)
        .reset_index(drop=True)
    )
    groups["rank"] = np.arange(len(groups), dtype=float)
    groups["end"] = groups["rank"] + (0.85 if len(groups) <= 100 else 1)
    median = float(groups["n_cells"].median()) if len(groups) else 0.0
    bars = (
        alt.Chart(groups)
        .mark_rect(color=ACCENT)
        .encode(
            x=alt.X(
                "rank:Q",
                title=f"{name}s, from most to fewest cells",
                axis=alt.Axis(labels=False, grid=False),
                scale=alt.Scale(nice=False),
            ),
            x2="end:Q",
            y=alt.Y("n_cells:Q", title="cells"),
            y2=alt.datum(0),
            tooltip=[alt.Tooltip(f"{name}:N"), alt.Tooltip("n_cells:Q", title="cells", format=",")],
        )
    )
    rule = alt.Chart(pd.DataFrame({"median": [median]})).mark_rule(color=UP, strokeDash=[5, 4]).encode(y="median:Q")
    return finish(bars + rule, f"Cells per {name}", f"{len(groups):,} {name}s; dashed: median {median:,.0f} cells")


def cells_bars(frame: pd.DataFrame, *, name: str, plural: str) -> alt.Chart:
    """Cells per group as named bars, at most MAX_BARS. frame: columns `name`, n_cells."""
    top = frame.sort_values("n_cells", ascending=False).head(MAX_BARS)
    chart = (
        alt.Chart(top)
        .mark_bar(color=ACCENT)
        .encode(
            x=alt.X(f"{name}:N", sort=top[name].tolist(), axis=names_axis(len(top))),
            y=alt.Y("n_cells:Q", title="cells"),
            tooltip=[alt.Tooltip(f"{name}:N"), alt.Tooltip("n_cells:Q", title="cells", format=",")],
        )
    )
    few = f"the largest {len(top)} of " if len(top) < len(frame) else ""
    return finish(chart, f"Cells per {name}", f"{few}{len(frame):,} {plural}")


def depth_histogram(values: np.ndarray, *, label: str, unit: str) -> alt.LayerChart:
    """The distribution of one number over the cells, with its median. values: (n_cells,)."""
    counts = histogram_counts(values, bins=60)
    median = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
    x = alt.X("start:Q", title=unit, scale=alt.Scale(zero=False))
    bars = histogram_bars(counts, x, y=alt.Y("n:Q", title="cells"), format=",.0f", noun="cells")
    rule = alt.Chart(pd.DataFrame({"m": [median]})).mark_rule(color=UP, strokeDash=[5, 4]).encode(x="m:Q")
    return finish(bars + rule, label, f"dashed: median {median:,.0f}")
