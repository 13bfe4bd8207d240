"""Choosing genes on a page: the largest changes, the clearest DEGs, a pasted list, a gene set."""

import streamlit as st

from vccapp.data.gene_sets import keep_gmt, list_gmt, read_gmt
from vccapp.evaluation.comparison.gene_choice import (
    FIRST_GENES,
    MOST_GENES,
    ChosenGenes,
    Ranking,
    name_genes,
    rank_genes,
)
from vccapp.stats.index import Index
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.loaders import cached, current_settings
from vccapp.wording import name_some, plain

RANKED: dict[str, Ranking] = {"Largest delta": "delta", "Clearest DEGs": "degs"}
NAMED, SET = "Named", "Gene set"
UNNAMED = 20
"""Genes shown where none is named yet."""

load_gene_sets = cached(max_entries=8)(read_gmt)


def choose_genes(index: Index, perturbations: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Genes of the data, at least one, and the options of the commands that choose them.

    Where the choice holds none, say so, and end the page.
    """
    if "cmp_genes" in st.query_params and "cmp_by" not in st.query_params:
        st.session_state.setdefault("cmp_by", NAMED)
    left, right = st.columns([2, 3])
    way = left.selectbox("Genes", [*RANKED, NAMED, SET], key="cmp_by", bind="query-params")
    with right:
        if way in RANKED:
            number = _choose_number(index)
            chosen = rank_genes(index, perturbations, by=RANKED[way], number=number)
            options: tuple[str, ...] = ("--by", RANKED[way], "--top", str(number))
        else:
            chosen, options = (_name if way == NAMED else _choose_set)(index, perturbations)
        if chosen.unknown:
            st.caption(
                f":orange[{len(chosen.unknown)} not among the dataset's genes: {plain(name_some(chosen.unknown))}]"
            )
    if not chosen.genes:
        st.info("No gene is chosen: enter names, choose a set, or use the largest deltas.")
        st.stop()
    return chosen.genes, options


def _choose_number(index: Index) -> int:
    most = min(MOST_GENES, len(index.genes))
    return int(st.number_input("How many", 1, most, min(FIRST_GENES, most), key="cmp_top", bind="query-params"))


def _name(index: Index, perturbations: list[str]) -> tuple[ChosenGenes, tuple[str, ...]]:
    text = st.text_input(
        "Names",
        key="cmp_genes",
        bind="query-params",
        placeholder="Paste a list (MYC, TP53) or search (HLA-*)",
        help="Separate with commas or spaces; * is a wildcard.",
    )
    if not (text or "").strip():
        st.caption(f"No genes entered; showing the {UNNAMED} with the largest delta.")
        return rank_genes(index, perturbations, number=UNNAMED), ("--by", "delta", "--top", str(UNNAMED))
    return name_genes(index, text), ("--genes", text)


def _choose_set(index: Index, perturbations: list[str]) -> tuple[ChosenGenes, tuple[str, ...]]:
    with st.popover("Add a .gmt file", icon=":material/upload:"):
        given = st.file_uploader(
            "One set per line, tab-separated: name, description, genes", type="gmt", key="cmp_upload"
        )
        if given is not None:
            with errors_shown():
                st.session_state["cmp_gmt"] = keep_gmt(given.name, given.getvalue(), current_settings()).name
    files = {path.name: path for path in list_gmt(current_settings())}
    if not files:
        return ChosenGenes(()), ()
    file = st.selectbox("File", list(files), key="cmp_gmt", bind="query-params")
    sets = load_gene_sets(files[file])
    name = st.selectbox("Gene set", list(sets), key="cmp_set", bind="query-params")
    return name_genes(index, " ".join(sets[name])), ("--gmt", file, "--gene-set", name)
