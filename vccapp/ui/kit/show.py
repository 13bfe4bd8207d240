"""Drawing: a chart in a card with its alt text and its data, a table, and the command that does the same."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd
import streamlit as st
from altair.utils import schemapi

from vccapp.figures.style import warn_above
from vccapp.records import Unreadable
from vccapp.ui.kit.columns import column_format
from vccapp.ui.kit.context import ignored_context
from vccapp.ui.kit.downloads import show_csv_button
from vccapp.wording import plain as plain
from vccapp.wording import plain_lines

schemapi.disable_debug_mode()  # of the checks of a chart's parts, each costs milliseconds

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROW = 35
"""Pixels of a table's row."""
MAX_SENT = 1000
"""A table of more rows is read from the server as it is scrolled; its rows cannot be chosen."""
PLOTLY = {"displaylogo": False, "displayModeBar": False}


def show_chart(
    chart: "alt.Chart | alt.LayerChart | alt.FacetChart | go.Figure",
    *,
    key: str,
    text: str,
    data: pd.DataFrame,
    name: str,
) -> None:
    """Draw a chart in a card. `text` describes it to who cannot see it; `data` is what its CSV holds."""
    if ignored := ignored_context():
        chart = warn_above(chart, f"The context ({ignored}) is ignored")
    with st.container(border=True, key=f"{key}_card", gap="xsmall"):
        if isinstance(chart, alt.Chart | alt.LayerChart | alt.FacetChart):
            # Charts are checked against the Vega-Lite schema by the tests; here it would take a third of the time.
            object.__setattr__(chart, "to_dict", partial(chart.to_dict, validate=False))
            st.altair_chart(chart, width="stretch", theme="streamlit", key=key, alt=text)
        else:
            st.plotly_chart(chart, width="stretch", theme="streamlit", key=key, alt=text, config=PLOTLY)
        with st.container(horizontal=True, horizontal_alignment="right"):
            show_csv_button(data, name=name, key=key)


def show_table(
    frame: pd.DataFrame,
    *,
    key: str,
    text: str,
    name: str,
    height: int = 380,
    choose: tuple[str, str] | None = None,
    then: Mapping[str, str] | None = None,
) -> None:
    """Draw a sortable table with its CSV.

    choose : (column, widget key); a chosen row sets that widget, and those of `then` to the values given there
    """
    lazy = len(frame) > MAX_SENT

    def take() -> None:
        column, widget = choose or ("", "")
        rows = st.session_state[key].selection.rows
        if rows:
            st.session_state[widget] = frame[column].iloc[rows[0]]
            st.session_state.update(then or {})

    st.dataframe(
        frame,
        key=key,
        alt=text,
        height=min(height, ROW * (len(frame) + 1) + 3),
        hide_index=True,
        width="stretch",
        column_config=column_format(list(frame.columns)),
        on_select=take if choose and not lazy else "ignore",
        selection_mode="single-row",
        placeholder="-",
        lazy=lazy,
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        show_csv_button(frame, name=name, key=key)


def show_unreadable(unreadable: Sequence[Unreadable]) -> None:
    """A line for each entry of a list that cannot be read."""
    if unreadable:
        st.warning(plain_lines(found.error for found in unreadable), icon=":material/broken_image:")


def reproduce(*commands: str) -> None:
    """The commands that do what the page shows, at the page's end."""
    with st.expander("Reproduce", icon=":material/terminal:"):
        st.caption("The same on the command line; add `--json` for machine-readable output.")
        st.code("\n".join(commands), language="bash", wrap_lines=True)
