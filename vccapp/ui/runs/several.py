"""Several chosen runs: their curves over each other, what differs, and their scores."""

from collections.abc import Sequence

import streamlit as st

from vccapp.jobs.runs import Entry, find_entries, ids_of_active
from vccapp.training import RunRecord
from vccapp.training.comparison import name_runs
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.frame import page_link
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.runs.actions import show_actions
from vccapp.ui.runs.curves import show_curves
from vccapp.ui.runs.one import show_differences
from vccapp.wording import plain

VIEWS = {"curves": "Curves", "differences": "Differences"}
MAX_CURVES = 8
"""Runs whose curves lie over each other: more colours could not be told apart."""


def show_several(entries: Sequence[Entry]) -> None:
    """The runs that are chosen."""
    runs = [entry.run for entry in entries if entry.run is not None]
    with st.container(border=True, key="runs_several"):
        st.markdown(f"**{len(entries)} runs**: {plain(', '.join(_names(runs).values()))}")
        show_actions(entries)
        if len(runs) < 2:
            st.caption("Fewer than two of them have begun, so there is nothing to compare yet.")
            return
        view = choose_one("View", VIEWS, key="runs_together", label_visibility="collapsed")
        if view == "curves":
            _show_curves(runs)
        else:
            show_differences(runs)
        if all(run.state == "finished" for run in runs) and len({run.spec.dataset for run in runs}) == 1:
            page_link("compare", "Compare their predictions")


def _names(runs: Sequence[RunRecord]) -> dict[str, str]:
    return {run.id: name for run, name in zip(runs, name_runs(runs), strict=True)}


def _show_curves(runs: Sequence[RunRecord]) -> None:
    if len(runs) > MAX_CURVES:
        st.caption(f"Curves of the first {MAX_CURVES} of them.")
    shown = runs[:MAX_CURVES]

    def read() -> list[Entry]:
        return find_entries([run.id for run in shown], current_settings())

    def draw(found: list[Entry]) -> None:
        there = [entry.run for entry in found if entry.run is not None]
        show_curves(there, _names(there), key="runs_curves")

    draw_live(read, draw, watch=ids_of_active)
