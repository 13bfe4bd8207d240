"""Which context of the data the pages show: chosen in the sidebar, and in the URL (parameter `context`)."""

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.wording import plain

EVERY = "All contexts"


def choose_context(record: Record | None) -> None:
    """Choose one where the data have several; where one is ignored, say so in red."""
    st.session_state["data_context"] = None
    if record is None:
        return
    if ignored := record.schema.context_ignored:
        st.error(
            f"The context ({plain(ignored)}) is ignored: cells are compared with the controls of all contexts, so "
            "effects may be those of the context.",
            icon=":material/warning:",
        )
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


def current_context() -> str | None:
    """The chosen context; None for all."""
    return st.session_state.get("data_context")
