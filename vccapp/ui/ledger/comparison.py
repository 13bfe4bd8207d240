"""Two submissions on the page Ledger: what differs in their making, cells, local and official scores."""

import shlex
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from vccapp.evaluation.leaderboard.metric_names import OVERALL, label_metric
from vccapp.figures import ledger as figures
from vccapp.submission.ledger.compare import compare_submissions
from vccapp.submission.ledger.listing import Submission
from vccapp.submission.ledger.ranking import COMPARABLE
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_chart, show_table


def show_pair(ledger: Sequence[Submission]) -> str:
    """Choose two and see them beside each other; returns the command that says the same, "" while there are not two."""
    known = {one.id: one for one in ledger}
    if len(known) < 2:
        return ""
    st.subheader("Compare two", anchor=False)
    left, right, last = st.columns([3, 3, 2], vertical_alignment="bottom")
    a = left.selectbox("A", list(known), key="ledger_a", bind="query-params")
    others = [id for id in known if id != a]
    if st.session_state.get("ledger_b") not in (None, *others):
        del st.session_state["ledger_b"]
    b = right.selectbox("B", others, key="ledger_b", bind="query-params")
    every = last.toggle("Also what is the same", key="ledger_every", bind="query-params")
    view = compare_submissions(known[a], known[b], current_settings())
    making = view.making if every else view.making[view.making["differs"]]
    columns = {"a": f"A: {a}", "b": f"B: {b}"}
    st.markdown(f"**Making**: {int(view.making['differs'].sum()):,} things differ")
    if len(making):
        shown = making.rename(columns=columns)
        show_table(shown, key="ledger_making", text=f"What made {a} and {b}", name="making")
    cells = view.cells
    st.markdown(f"**Cells**: {f'{len(cells):,} perturbations differ' if len(cells) else 'the same numbers and depths'}")
    if len(cells):
        show_table(cells, key="ledger_cells", text=f"Cells that differ between {a} and {b}", name="cells")
    st.markdown("**Official scores**" if len(view.official) else "**Official scores**: none yet")
    for where, group in view.official.groupby(COMPARABLE, sort=False):
        _show_official(group, where, a, b)
    st.markdown("**Local scores** of the files, and of the runs on their own held-out perturbations")
    if len(view.local):
        text = f"Local scores of {a} and {b}"
        show_table(view.local.rename(columns=columns), key="ledger_local", text=text, name="local")
    else:
        st.caption("There are none: the runs have no stored scores, or are gone.")
    return shlex.join(["vccapp", "submit", "ledger", "compare", a, b])


def _show_official(group: pd.DataFrame, where: tuple[str, ...], a: str, b: str) -> None:
    """Scores that are comparable."""
    named = group.assign(metric=[_label(name) for name in group["metric"]])
    text = " ".join(filter(None, where))
    show_chart(
        figures.paired_scores(named[["metric", "a", "b"]], a=a, b=b, where=text),
        key=f"ledger_pair_{'_'.join(where)}",
        text=f"Dot chart: official scores of {a} and {b}, {text}.",
        data=group,
        name="official",
    )


def _label(metric: str) -> str:
    return "Overall" if metric == OVERALL else label_metric(metric)
