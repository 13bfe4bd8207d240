"""CSV of what a page shows."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from vccapp.data.reading.ignored import mark_ignored
from vccapp.data.spreadsheet import to_csv
from vccapp.stats.export import EXPORTS
from vccapp.stats.index import Index
from vccapp.ui.kit.context import ignored_context
from vccapp.wording import plain


def show_csv_button(frame: pd.DataFrame, *, name: str, key: str) -> None:
    """A quiet button that downloads the frame as `<name>.csv`; the file is only made when it is asked for."""
    st.download_button(
        "CSV",
        data=lambda: to_csv(_marked(frame)),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=f"{key}_csv",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
        help=f"Download these {len(frame):,} rows as {plain(name)}.csv",
    )


def show_exports(index: Index, names: Sequence[str], *, key: str, changed: dict[str, Callable] | None = None) -> None:
    """Buttons for the tables that people pass around, made when asked for. changed: other makers for some of them."""
    makers = EXPORTS | (changed or {})
    with st.container(horizontal=True, key=key):
        for name in names:
            st.download_button(
                plain(name),
                data=partial(_export, makers[name], index),
                file_name=name,
                mime="text/csv",
                key=f"{key}_{name}",
                type="tertiary",
                icon=":material/table_view:",
                on_click="ignore",
            )


def _export(make: Callable[[Index], pd.DataFrame], index: Index) -> bytes:
    return to_csv(mark_ignored(make(index), index.meta["context_ignored"]))


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """With the context of the page's dataset that is ignored, where there is one."""
    return mark_ignored(frame, ignored_context())
