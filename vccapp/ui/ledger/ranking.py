"""The ledger on its page: submissions in the order of an official score, and the best over time."""

import shlex

import streamlit as st

from vccapp.evaluation.leaderboard.metric_names import OVERALL, label_metric
from vccapp.figures import ledger as figures
from vccapp.records import Listing
from vccapp.submission.ledger.listing import Submission, load_ledger
from vccapp.submission.ledger.ranking import list_metrics, view_ranking
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_chart, show_table, show_unreadable


def read_ledger() -> Listing[Submission]:
    """All submissions; what cannot be read of them is said."""
    ledger = load_ledger(current_settings())
    show_unreadable(ledger.unreadable)
    return ledger


def show_ranking(ledger: Listing[Submission]) -> str:
    """The ranked list and the curve; returns the command of both."""
    metrics = list_metrics(ledger) or [OVERALL]
    metric = st.selectbox(
        "Ranked by",
        metrics,
        key="ledger_metric",
        bind="query-params",
        format_func=_label,
        help="A score of the official leaderboard",
    )
    view = view_ranking(ledger, metric=metric)
    show_table(
        view.ranked,
        key="ledger_table",
        text=f"Submissions by {_label(metric)}",
        name="ledger",
        choose=("submission", "ledger_id"),
    )
    st.caption(
        "Ranks hold within one season, phase, scale and rule version; other scores are not comparable. "
        "*Counts* marks the last one sent in its phase: the organisers rank that one."
    )
    if len(view.best):
        show_chart(
            figures.best_over_time(view.best, label=_label(metric)),
            key="ledger_best",
            text=f"Line chart: {_label(metric)} of {view.best['submission'].nunique()} submissions over time.",
            data=view.best,
            name="ledger-best",
        )
    words = ["vccapp", "submit", "ledger", "list"]
    return shlex.join(words if metric == OVERALL else [*words, "--metric", metric])


def _label(metric: str) -> str:
    return "Overall" if metric == OVERALL else label_metric(metric)
