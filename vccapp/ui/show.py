"""Drawing: a chart in a card with its alt text and its data, a table, and the command that does the same."""

import altair as alt
import pandas as pd
import streamlit as st
from altair.utils import schemapi

from vccapp.ui.columns import column_format
from vccapp.ui.downloads import show_csv_button

# A chart is checked against the Vega-Lite schema when it is drawn; once is enough, and each more costs milliseconds.
schemapi.disable_debug_mode()

ROW = 35
"""Pixels of a table's row."""


def show_chart(chart: alt.TopLevelMixin, *, key: str, text: str, data: pd.DataFrame, name: str) -> None:
    """Draw a chart in a card. `text` describes it to who cannot see it; `data` is what its CSV holds."""
    with st.container(border=True, key=f"{key}_card", gap="xsmall"):
        st.altair_chart(chart, width="stretch", theme="streamlit", key=key, alt=text)
        with st.container(horizontal=True, horizontal_alignment="right"):
            show_csv_button(data, name=name, key=key)


def show_table(
    frame: pd.DataFrame, *, key: str, text: str, name: str, height: int = 380, choose: tuple[str, str] | None = None
) -> None:
    """Draw a sortable table with its CSV. `choose`: (column, widget key); a chosen row sets that widget."""

    def take() -> None:
        column, widget = choose or ("", "")
        rows = st.session_state[key].selection.rows
        if rows:
            st.session_state[widget] = frame[column].iloc[rows[0]]

    st.dataframe(
        frame,
        key=key,
        alt=text,
        height=min(height, ROW * (len(frame) + 1) + 3),
        hide_index=True,
        width="stretch",
        column_config=column_format(list(frame.columns)),
        on_select=take if choose else "ignore",
        selection_mode="single-row",
        placeholder="-",
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        show_csv_button(frame, name=name, key=key)


def reproduce(*commands: str) -> None:
    """The commands that do what the page shows, at the page's end."""
    with st.expander("Reproduce", icon=":material/terminal:"):
        st.caption("The same on the command line; add `--json` for a program to read.")
        st.code("\n".join(commands), language="bash", wrap_lines=True)
