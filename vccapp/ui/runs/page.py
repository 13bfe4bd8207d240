"""The page Runs: the table, what is chosen in it, and what was deleted."""

import shlex

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.jobs.runs import Entry
from vccapp.records import Listing
from vccapp.ui.kit.frame import page_link
from vccapp.ui.kit.show import show_unreadable
from vccapp.ui.runs.actions import CloneLink, show_bin, show_undo
from vccapp.ui.runs.choice import choose, chosen_ids, read_entries, show_runs
from vccapp.ui.runs.one import show_run
from vccapp.ui.runs.several import show_several
from vccapp.wording import name_some, plain


def show_runs_page(record: Record, *, clone_link: CloneLink) -> list[str]:
    """All of it; returns the ids of the runs that are open. clone_link : to the form of Train, filled with a run's."""
    everywhere = st.toggle("Runs on all datasets", key="runs_all", bind="query-params")
    of = None if everywhere else record
    entries = read_entries(of)
    show_unreadable(entries.unreadable)
    show_undo()
    if not entries:
        where = "here" if everywhere else f"on {plain(record.title)}"
        st.info(f"There is no run {where} yet. Train a model first; the mean baseline trains in seconds.")
        page_link("train", "Go to Train")
        show_bin()
        return []
    show_runs(entries, of)
    chosen = _find_chosen(entries)
    if len(chosen) == 1:
        show_run(chosen[0], [entry.run for entry in entries if entry.run is not None], clone_link=clone_link)
    elif chosen:
        show_several(chosen)
    show_bin()
    return [entry.id for entry in chosen]


def runs_commands(chosen: list[str]) -> list[str]:
    """`vccapp runs` of what is shown."""
    if not chosen:
        return ["vccapp runs list"]
    if len(chosen) > 1:
        return ["vccapp runs list", shlex.join(["vccapp", "runs", "compare", *chosen])]
    commands = [["show"], ["logs"], ["clone"]]
    return ["vccapp runs list", *(shlex.join(["vccapp", "runs", *words, *chosen]) for words in commands)]


def _find_chosen(entries: Listing[Entry]) -> list[Entry]:
    """What the address names. A run of other data is opened too; one that is not there is said, once."""
    asked = chosen_ids()
    known = {entry.id: entry for entry in entries}
    if not set(asked) <= set(known):
        known = {entry.id: entry for entry in read_entries(None)}
    if gone := [run_id for run_id in asked if run_id not in known]:
        st.warning(plain(f"The link names runs that are not here: {name_some(gone)}."), icon=":material/link_off:")
        choose([run_id for run_id in asked if run_id in known])
    return [known[run_id] for run_id in asked if run_id in known]
