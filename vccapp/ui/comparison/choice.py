"""Choosing what the page Compare compares: runs, part, what is shown in detail, perturbations, genes."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.comparison.comparison import FIRST_PERTURBATIONS, Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.stats.index import Index
from vccapp.training.comparison import compare_runs
from vccapp.ui.comparison.gene_choice import choose_genes
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.forms import choose_one, named
from vccapp.ui.kit.loaders import cached
from vccapp.ui.kit.runs import load_runs, pick_runs
from vccapp.ui.kit.show import show_unreadable
from vccapp.wording import plain

MAX_RUNS = 6
MAX_SHOWN = 24
PARTS = {"test": "test", "val": "validation"}

load_comparison = cached(max_entries=8)(compare_runs)


@dataclass(frozen=True)
class Choice:
    """What the page shows. shown : where there is room for one; perturbations, genes : those looked at closely.

    gene_options : of the commands, the choice of genes
    """

    comparison: Comparison
    shown: Prediction
    perturbations: tuple[str, ...]
    genes: tuple[str, ...]
    gene_options: tuple[str, ...]

    def command(self, view: str, *options: str, detail: bool = False, closely: bool = False) -> str:
        """`vccapp eval <view>` of what is chosen. detail, closely : whether the view looks at `shown`, at `genes`."""
        words = ["vccapp", "eval", view]
        words += [word for run in self.comparison.runs for word in ("--run", run.key)]
        words += ["--part", self.comparison.part]
        words += ["--context", context] if (context := current_context()) else []
        words += ["--shown", self.shown.key] if detail else []
        if closely:
            words += ["--perturbations", ",".join(self.perturbations), *self.gene_options]
        return shlex.join([*words, *options])


def has_runs(record: Record) -> bool:
    """Whether there is a finished run to compare. Where there is none, say how to get one."""
    runs = load_runs(record)
    show_unreadable(runs.unreadable)
    if runs:
        return True
    from vccapp.ui.kit.frame import page_link

    st.info(
        f"There is no finished run on {plain(record.title)} yet. "
        "Train a model first; the mean baseline trains in seconds."
    )
    page_link("train", "Go to Train")
    return False


def choose_comparison(record: Record, index: Index) -> Choice:
    """Runs, part, perturbations and genes. Where nothing can be compared, say why, and end the page."""
    chosen = pick_runs(
        "Runs",
        load_runs(record),
        key="cmp_runs",
        max_selections=MAX_RUNS,
        help="Imported predictions are runs too. Baselines and limits are always shown.",
    )
    left, right = st.columns([1, 2])
    part = choose_one("Part", list(PARTS), key="cmp_part", default="test", place=left)
    if not chosen:
        st.info("Choose at least one run.")
        st.stop()
    comparison = load_comparison(index, tuple(chosen), part=part, context=current_context())
    labels = comparison.labels
    if not labels:
        st.info(f"The chosen runs have no perturbation in common in the {PARTS[part]} part of their splits.")
        st.stop()
    names = {own.key: own.name for own in comparison.predictions}
    shown = right.selectbox(
        "Shown in detail",
        list(names),
        key="cmp_shown",
        bind="query-params",
        format_func=named(names),
        help="Used by views that show one prediction.",
    )
    left, right = st.columns([2, 3])
    picked = left.multiselect(
        "Perturbations in detail",
        list(labels),
        default=first_choice("cmp_perturbations", labels, comparison.strongest()),
        key="cmp_perturbations",
        bind="query-params",
        wrap=True,
        max_selections=MAX_SHOWN,
        help=f"The {FIRST_PERTURBATIONS} with the largest real effect are preselected. Scores cover all {len(labels)}.",
    )
    if not picked:
        st.info("Choose at least one perturbation.")
        st.stop()
    with right:
        genes, options = choose_genes(index, picked)
    return Choice(comparison, comparison.find(shown), tuple(picked), genes, options)


def first_choice(key: str, options: Sequence[str], default: list[str]) -> list[str] | None:
    """The default of a multiselect; what was chosen gives way to it where none of that is an option any more."""
    chosen = st.session_state.get(key)
    if chosen and not set(chosen) & set(options):
        st.session_state[key] = default
        return None
    return default
