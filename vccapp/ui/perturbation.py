"""The page Perturbations: its table, one perturbation's genes, and its numbers."""

from functools import partial

import pandas as pd
import streamlit as st

from vccapp.data.schema import control_of
from vccapp.data.significance import FDR
from vccapp.stats.export import deg_counts
from vccapp.stats.index import Index
from vccapp.ui.kit.downloads import show_exports

FDRS = [0.001, 0.01, FDR, 0.1, 0.2]
"""Thresholds to choose from."""
SHOWN = ["perturbation", "n_cells", "degs", "up", "down", "effect", "knockdown", "umis_median", "genes_median"]


def perturbation_table(index: Index, *, fdr: float, lfc: float) -> pd.DataFrame:
    """One row a perturbation, the most DEGs first. fdr, lfc : what counts as a DEG."""
    counts = index.deg_counts(fdr=fdr, min_abs_lfc=lfc)
    known = index.perturbations[len(index.controls) :].drop(columns=["degs", "up", "down"])
    table = known.merge(counts, on="perturbation")[SHOWN]
    return table.sort_values("degs", ascending=False, kind="stable")


def show_deg_export(index: Index, *, fdr: float, lfc: float, key: str) -> None:
    """A button for the counts of DEGs as people pass them around."""
    make = partial(deg_counts, fdr=fdr, min_abs_lfc=lfc)
    show_exports(index, ["deg_counts.csv"], key=key, changed={"deg_counts.csv": make})


def describe_perturbation(index: Index, label: str) -> pd.DataFrame:
    """One row a gene: its DE, and control, perturbed and delta in log1p units."""
    return index.de(label).assign(
        delta=index.delta(label), control=index.mean(control_of(label)), perturbed=index.mean(label)
    )


def show_perturbation_numbers(own: pd.Series, *, rule: str) -> None:
    """Cells, DEGs, effect and knock-down. own: a row of the page's table. rule: what counts as a DEG."""
    with st.container(horizontal=True, key="numbers"):
        st.metric("Cells", f"{own['n_cells']:,.0f}")
        st.metric("DEGs", f"{own['degs']:,.0f}", help=rule)
        st.metric("Up", f"{own['up']:,.0f}")
        st.metric("Down", f"{own['down']:,.0f}")
        st.metric("Effect size", f"{own['effect']:.2f}", help="Length (L2) of the delta over all genes, log1p units")
        left_over = "not measured" if pd.isna(own["knockdown"]) else f"{own['knockdown']:.0%}"
        st.metric(
            "Remaining target expression", left_over, help="Expression of the target gene relative to the controls"
        )
