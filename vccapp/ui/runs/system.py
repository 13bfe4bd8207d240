"""What a run's last job used of the machine while it worked: processors, memory, GPU."""

import pandas as pd
import streamlit as st

from vccapp.figures.training import usage_of
from vccapp.jobs.runs import Entry, find_entry
from vccapp.jobs.usage import USAGE, read_usage
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_chart
from vccapp.wording import bytes_text

SERIES = {
    "cpu_percent": ("Processors", "% of one processor", 1.0),
    "memory_bytes": ("Memory", "GB of all its processes", 1e9),
    "gpu_percent": ("GPU", "% busy", 1.0),
    "gpu_bytes": ("GPU memory", "GB", 1e9),
}
"""By column of the samples: title, unit, and what the values are divided by."""
COLUMNS = 2


def show_system(entry: Entry) -> None:
    """Live while it works; a sentence where nothing was noted."""
    draw_live(
        lambda: find_entry(entry.id, current_settings()),
        _draw,
        watch=lambda found: f"{found.id} {found.state}" if found.active else "",
    )


def _draw(entry: Entry) -> None:
    job = entry.job
    frame = pd.DataFrame() if job is None else read_usage(current_settings().jobs / job.id / USAGE)
    known = [name for name in SERIES if name in frame and frame[name].notna().any()]
    if job is None or not known:
        st.caption("Nothing was noted of what it used: it has not begun, or another machine or version trained it.")
        return
    if job.needs.memory_bytes:
        most = frame["memory_bytes"].max()
        st.caption(f"At most {bytes_text(most)} of memory at once; {bytes_text(job.needs.memory_bytes)} were planned.")
    seconds = frame["time"] - (job.started or frame["time"].iloc[0])
    for start in range(0, len(known), COLUMNS):
        for column, name in zip(st.columns(COLUMNS), known[start : start + COLUMNS], strict=False):
            title, unit, scale = SERIES[name]
            series = pd.DataFrame({"seconds": seconds, "value": frame[name] / scale}).dropna()
            with column:
                show_chart(
                    usage_of(series, label=title, unit=unit),
                    key=f"runs_use_{name}",
                    text=f"{title} over time ({unit}): now {series['value'].iloc[-1]:.3g}, "
                    f"at most {series['value'].max():.3g}",
                    data=series,
                    name=f"usage_{name}",
                )
