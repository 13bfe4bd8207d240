"""Figures of the page Overview: how many cells, how deep."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from vccapp.figures.style import ACCENT, UP, finish, histogram_bars, histogram_counts, names_axis

MAX_NAMES = 48
MAX_HEAT_NAMES = 24
"""More names than these are not written on an axis."""


def cells_ranked(frame: pd.DataFrame, *, name: str, plural: str, controls: Sequence[str] = ()) -> alt.LayerChart:
    """Cells per group, the largest first. frame: columns `name`, n_cells; the controls are left out."""
    groups = (
        frame.loc[~frame[name].isin(controls), [name, "n_cells"]]
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
                title=f"{plural}, from most to fewest cells",
                axis=alt.Axis(labels=False, grid=False),
                scale=alt.Scale(nice=False),
            ),
            x2=alt.X2("end:Q"),
            y=alt.Y("n_cells:Q", title="cells"),
            y2=alt.datum(0),
            tooltip=[alt.Tooltip(f"{name}:N"), alt.Tooltip("n_cells:Q", title="cells", format=",")],
        )
    )
    rule = (
        alt.Chart(pd.DataFrame({"median": [median]})).mark_rule(color=UP, strokeDash=[5, 4]).encode(y=alt.Y("median:Q"))
    )
    return finish(bars + rule, f"Cells per {name}", f"{len(groups):,} {plural}; dashed: median {median:,.0f} cells")


def depth_groups(frame: pd.DataFrame, *, name: str, plural: str, value: str, unit: str) -> alt.LayerChart:
    """Depth of each group, from deep to shallow: median and the middle 80 % of its cells.

    frame : columns `name`, n_cells and `value`_low, `value`_median, `value`_high.
    """
    middle, low, high = (f"{value}_{part}" for part in ("median", "low", "high"))
    groups = frame.sort_values(middle, ascending=False, ignore_index=True)
    groups["rank"] = np.arange(1, len(groups) + 1)
    few = len(groups) <= MAX_NAMES
    x = alt.X(f"{name}:N", sort=groups[name].tolist(), axis=names_axis(len(groups)))
    if not few:
        x = alt.X("rank:Q", title=f"{plural}, from deep to shallow", scale=alt.Scale(nice=False, zero=False))
    tips = [
        alt.Tooltip(f"{name}:N"),
        alt.Tooltip("n_cells:Q", title="cells", format=","),
        alt.Tooltip(f"{middle}:Q", title="median", format=",.0f"),
        alt.Tooltip(f"{low}:Q", title="10 %", format=",.0f"),
        alt.Tooltip(f"{high}:Q", title="90 %", format=",.0f"),
    ]
    base = alt.Chart()
    lines = base.mark_rule(strokeWidth=3 if few else 1, opacity=0.45, color=ACCENT).encode(
        x=x, y=alt.Y(f"{low}:Q", title=f"{unit} per cell"), y2=alt.Y2(f"{high}:Q")
    )
    points = base.mark_point(filled=True, size=36 if few else 14, opacity=1, color=ACCENT).encode(
        x=x, y=alt.Y(f"{middle}:Q", title=f"{unit} per cell"), tooltip=tips
    )
    text = f"{unit[0].upper()}{unit[1:]} per cell by {name}"
    both = alt.LayerChart(layer=[lines, points], data=groups)
    return finish(both, text, "dots: medians of the cells, lines: the middle 80 %", renderer="canvas")


def pairs_heatmap(frame: pd.DataFrame, *, rows: str, columns: str, plurals: tuple[str, str]) -> alt.Chart:
    """Cells of each pair of groups. frame: columns `rows`, `columns`, n_cells."""
    n_rows, n_columns = frame[rows].nunique(), frame[columns].nunique()
    order = frame.groupby(rows)["n_cells"].sum().sort_values(ascending=False, kind="stable").index.tolist()
    empty = int((frame["n_cells"] == 0).sum())
    chart = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X(f"{columns}:N", title=f"{n_columns:,} {plurals[1]}", axis=_heat_axis(n_columns)),
            y=alt.Y(f"{rows}:N", sort=order, title=f"{n_rows:,} {plurals[0]}", axis=_heat_axis(n_rows)),
            color=alt.Color("n_cells:Q", title="cells", legend=alt.Legend(orient="right", gradientLength=200)),
            tooltip=[
                alt.Tooltip(f"{rows}:N"),
                alt.Tooltip(f"{columns}:N"),
                alt.Tooltip("n_cells:Q", title="cells", format=","),
            ],
        )
    )
    found = (
        f"{n_rows:,} x {n_columns:,}, without controls; {empty:,} pairs ({empty / max(len(frame), 1):.1%}) have none"
    )
    return finish(chart, f"Cells by {rows} and {columns}", found, height=380, renderer="canvas")


def _heat_axis(n: int) -> alt.Axis:
    if n > MAX_HEAT_NAMES:
        return alt.Axis(labels=False, ticks=False, grid=False)
    return alt.Axis(labelLimit=84, labelOverlap=False, labelFontSize=10, grid=False)


def depth_histogram(values: np.ndarray, *, label: str, unit: str) -> alt.LayerChart:
    """The distribution of one number over the cells, with its median. values: (n_cells,)."""
    counts = histogram_counts(values, bins=60)
    median = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
    x = alt.X("start:Q", title=unit, scale=alt.Scale(zero=False))
    bars = histogram_bars(counts, x, y=alt.Y("n:Q", title="cells"), format=",.0f", noun="cells")
    rule = alt.Chart(pd.DataFrame({"m": [median]})).mark_rule(color=UP, strokeDash=[5, 4]).encode(x=alt.X("m:Q"))
    return finish(bars + rule, label, f"dashed: median {median:,.0f}", height=220)
