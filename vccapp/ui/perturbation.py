"""One perturbation on a page: its genes as a table, and its numbers."""

import pandas as pd
import streamlit as st

from vccapp.stats.index import Index


def describe_perturbation(index: Index, label: str) -> pd.DataFrame:
    """One row a gene: its DE, and control, perturbed and delta in log1p units."""
    return index.de(label).assign(delta=index.delta(label), control=index.control_mean, perturbed=index.mean(label))


def show_perturbation_numbers(own: pd.Series, *, rule: str) -> None:
    """Cells, DEGs, effect and knock-down. own: a row of the page's table. rule: what counts as a DEG."""
    with st.container(horizontal=True, key="numbers"):
        st.metric("Cells", f"{own['n_cells']:,.0f}")
        st.metric("DEGs", f"{own['degs']:,.0f}", help=rule)
        st.metric("Up", f"{own['up']:,.0f}")
        st.metric("Down", f"{own['down']:,.0f}")
        st.metric("Effect size", f"{own['effect']:.2f}", help="Length (L2) of the delta over all genes, log1p units")
        left_over = "not measured" if pd.isna(own["knockdown"]) else f"{own['knockdown']:.0%}"
        st.metric("Left on the target", left_over, help="Expression of the perturbed gene relative to the controls")
