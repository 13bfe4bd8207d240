"""The glossary on its page: searched, one line a term."""

import shlex

import pandas as pd
import streamlit as st

from vccapp.glossary import GLOSSARY, find_terms
from vccapp.ui.kit.downloads import show_csv_button
from vccapp.ui.kit.show import reproduce
from vccapp.wording import plain


def show_glossary() -> None:
    """All terms, or those that hold what is searched for."""
    sought = st.text_input("Search", key="glossary_search", bind="query-params", placeholder="For example PDS").strip()
    found = find_terms(sought)
    if not found:
        st.info(f"No term contains '{plain(sought)}'.")
    for term in found:
        also = f" :gray[({term.also})]" if term.also else ""
        st.markdown(f"**{term.word}**{also}  \n{term.meaning}")
    show_csv_button(pd.DataFrame(GLOSSARY), name="glossary", key="glossary_csv")
    reproduce(shlex.join(["vccapp", "glossary", *([sought] if sought else [])]))
