"""Which context of the data the pages show: chosen in the sidebar, and in the URL (parameter `context`)."""

import streamlit as st

from vccapp.data.reading.ignored import explain_ignored
from vccapp.data.workspace import Record
from vccapp.wording import plain

EVERY = "All contexts"


def choose_context(record: Record | None) -> None:
    """Choose one where the data have several; where one is ignored, say so in red."""
    st.session_state["data_context"] = None
    if record is None:
        return
    if ignored := record.schema.context_ignored:
        show_ignored(ignored)
    names = [EVERY, *(context.name for context in record.schema.contexts)]
    if len(names) == 1:
        return
    if st.session_state.get("context") not in names:
        asked = st.query_params.get("context")
        st.session_state["context"] = asked if asked in names else EVERY
    chosen = st.selectbox(
        "Context",
        names,
        key="context",
        bind="query-params",
        help=f"From {plain(record.schema.context_column)}. Cells are compared with the controls of their own context.",
    )
    st.session_state["data_context"] = None if chosen == EVERY else chosen


def show_ignored(context: str) -> None:
    """That it is ignored, in red."""
    st.error(plain(explain_ignored(context)) + ".", icon=":material/warning:")


def ignored_context() -> str | None:
    """The context of the page's dataset that is ignored, where there is one."""
    record = st.session_state.get("data_record")
    return None if record is None else record.schema.context_ignored


def current_context() -> str | None:
    """The chosen context; None for all."""
    return st.session_state.get("data_context")
