"""Choosing genes on a page: the largest changes, the clearest DEGs, a pasted list, a gene set."""

from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.gene_sets import find_genes, keep_gmt, list_gmt, read_gmt
from vccapp.data.significance import FDR
from vccapp.stats.index import Index
from vccapp.ui.kit.frame import errors_told
from vccapp.ui.kit.loaders import current_settings

CHANGED, DEGS, NAMED, SET = "Largest delta", "Clearest DEGs", "Named", "Gene set"
FIRST, MOST = 200, 2000
UNNAMED = 20
"""Genes shown where none is named yet."""


def name_gene(genes: pd.DataFrame) -> str | None:
    """One gene, typed: a browser takes seconds to list them all. Where there is none of that name, say so."""
    names = genes["gene"]
    text = st.text_input(
        "Gene",
        names.iloc[genes["abs_delta"].to_numpy().argmax()],
        key="gene",
        bind="query-params",
        help="Type a name, or search above and choose a row. At first the gene that perturbed cells change most.",
    ).strip()
    found, _ = find_genes(text, names)
    if found:
        return found[0]
    near = get_close_matches(text.upper(), names, n=5)
    st.info(f"There is no gene '{text}' in these data." + (f" Near: {', '.join(near)}." if near else ""))
    return None


def choose_genes(index: Index, perturbations: list[str]) -> list[str]:
    """Genes of the data, at least one. Where the choice holds none, say so, and end the page."""
    if "cmp_genes" in st.query_params and "cmp_by" not in st.query_params:
        st.session_state.setdefault("cmp_by", NAMED)
    left, right = st.columns([2, 3])
    ways = [CHANGED, DEGS, NAMED, SET]
    way = left.selectbox("Genes", ways, key="cmp_by", bind="query-params")
    with right:
        found = {CHANGED: _most_changed, DEGS: _clearest, NAMED: _named, SET: _of_set}[way](index, perturbations)
    if not found:
        st.info("No gene is chosen: name some, choose a set, or take the largest deltas.")
        st.stop()
    return found


def _number(index: Index) -> int:
    most = min(MOST, len(index.genes))
    return int(st.number_input("How many", 1, most, min(FIRST, most), key="cmp_top", bind="query-params"))


def _most_changed(index: Index, perturbations: list[str]) -> list[str]:
    return _largest(index, perturbations, _number(index))


def _largest(index: Index, perturbations: list[str], number: int) -> list[str]:
    largest = np.abs(index.deltas(perturbations)).max(axis=0)
    return index.genes["gene"].to_numpy()[np.argsort(-largest, kind="stable")[:number]].tolist()


def _clearest(index: Index, perturbations: list[str]) -> list[str]:
    """Significant in one of the perturbations at least, by their smallest p."""
    rows = index.rows(perturbations)
    p = np.nan_to_num(index.array("de/p_value")[rows].min(axis=0), nan=1.0)
    significant = (index.array("de/fdr")[rows] < np.float32(FDR)).any(axis=0)
    ranked = np.argsort(p, kind="stable")
    return index.genes["gene"].to_numpy()[ranked[significant[ranked]]][: _number(index)].tolist()


def _named(index: Index, perturbations: list[str]) -> list[str]:
    text = st.text_input(
        "Names",
        key="cmp_genes",
        bind="query-params",
        placeholder="paste a list: MYC, TP53 ... or search: HLA-*",
        help="Divided by commas or blanks; * stands for any letters.",
    )
    if not (text or "").strip():
        st.caption(f"None is named yet: the {UNNAMED} of largest delta.")
        return _largest(index, perturbations, UNNAMED)
    return _tell_unknown(*find_genes(text, index.genes["gene"]))


def _of_set(index: Index, perturbations: list[str]) -> list[str]:
    with st.popover("Add a .gmt file", icon=":material/upload:"):
        given = st.file_uploader("A set a line, by tabs: name, description, genes", type="gmt", key="cmp_upload")
        if given is not None:
            with errors_told():
                st.session_state["cmp_gmt"] = keep_gmt(given.name, given.getvalue(), current_settings()).name
    files = {path.name: path for path in list_gmt(current_settings())}
    if not files:
        return []
    file = st.selectbox("File", list(files), key="cmp_gmt", bind="query-params")
    sets = _read(files[file], files[file].stat().st_mtime)
    name = st.selectbox("Gene set", list(sets), key="cmp_set", bind="query-params")
    return _tell_unknown(*find_genes(" ".join(sets[name]), index.genes["gene"]))


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(path: Path, changed: float) -> dict[str, tuple[str, ...]]:
    return read_gmt(path)


def _tell_unknown(found: list[str], unknown: list[str]) -> list[str]:
    if unknown:
        some = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        st.caption(f":orange[{len(unknown)} not among the genes: {some}]")
    return found[:MOST]
