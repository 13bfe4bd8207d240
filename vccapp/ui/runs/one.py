"""One run, opened: how it goes, what changed since the run before, its curves, scores, system use and log."""

from collections.abc import Sequence

import streamlit as st

from vccapp.data.workspace import explain_missing
from vccapp.jobs.runs import Entry, find_entry
from vccapp.models.base import label_model
from vccapp.training import RunRecord
from vccapp.training.record import Part, explain_made
from vccapp.training.results.board import PARTS
from vccapp.training.runs.differences import compare_specs, find_before, tabulate_scores
from vccapp.training.runs.naming import label_runs, short_id
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.jobs import BADGES, progress_text
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.runs import pick_run, score_table
from vccapp.ui.kit.show import show_table
from vccapp.ui.runs.actions import CloneLink, show_actions
from vccapp.ui.runs.curves import show_curves
from vccapp.ui.runs.log import show_log
from vccapp.ui.runs.system import show_system
from vccapp.wording import plain

VIEWS = {"changes": "What changed", "curves": "Curves", "scores": "Scores", "system": "System", "log": "Log"}
STATES = BADGES | {
    "finished": ":green-badge[:material/check_circle: finished]",
    "interrupted": ":red-badge[:material/link_off: interrupted]",
    "gone": ":red-badge[:material/folder_off: gone]",
}


def show_run(entry: Entry, runs: Sequence[RunRecord], *, clone_link: CloneLink) -> None:
    """The run that is chosen. runs : all that it may be compared with, those of its data among them"""
    with st.container(border=True, key="runs_one"):
        draw_live(lambda: find_entry(entry.id, current_settings()), draw_head, watch=_watch)
        if entry.spec is not None and (missing := explain_missing(entry.spec.dataset, current_settings())):
            st.warning(plain(missing), icon=":material/database_off:")
        show_actions([entry], clone_link=clone_link)
        view = choose_one("View", VIEWS, key="runs_view", label_visibility="collapsed")
        if view == "log":
            show_log(entry)
        elif view == "system":
            show_system(entry)
        elif entry.run is None:
            st.caption("There is nothing to see yet: it has not begun.")
        elif view == "changes":
            _show_changes(entry.run, runs)
        elif view == "curves":
            _show_live_curves(entry)
        else:
            _show_scores(entry.run)


def _watch(entry: Entry) -> str:
    return f"{entry.id} {entry.state}" if entry.active else ""


def draw_head(entry: Entry) -> None:
    """Name, state, and how far it is."""
    spec = entry.spec
    name = entry.title or (label_model(spec.model) if spec is not None else short_id(entry.id))
    about = [] if spec is None else [label_model(spec.model)]
    about += [entry.run.split.name] if entry.run is not None else []
    about += [f"{entry.created.astimezone():%d %b %Y %H:%M}", entry.id]
    st.markdown(
        f"**{plain(name)}** {STATES.get(entry.state, entry.state)}  \n:small[:gray[{plain(' · '.join(about))}]]"
    )
    job = entry.job
    if job is not None and job.active:
        st.progress(job.fraction, text=plain(progress_text(job)))
    if entry.run is not None and (made := explain_made(entry.run)):
        st.caption(plain(made))
    if entry.reason:
        st.caption(plain(entry.reason))
    if entry.run is not None and entry.run.notes.note:
        st.info(plain(entry.run.notes.note), icon=":material/sticky_note_2:")


def _show_changes(run: RunRecord, runs: Sequence[RunRecord]) -> None:
    """Against the run before, or another one: what decided it, and the scores."""
    others = [one for one in runs if one.id != run.id and one.spec.dataset == run.spec.dataset]
    if not others:
        st.caption("This is the first run on its data, so there is none to compare it with.")
        return
    before = find_before(run, others)
    other = pick_run("Compared with", others, key="runs_against", first="" if before is None else before.id)
    show_differences([other, run])


def show_differences(runs: Sequence[RunRecord]) -> None:
    """What differs between runs, and their scores, one column a run."""
    labels = label_runs(runs)
    specs = compare_specs(runs)
    differs = specs[specs["differs"]].drop(columns="differs").rename(columns=labels)
    st.markdown(f"**What decided them**: {len(differs):,} of {len(specs):,} things differ")
    if len(differs):
        show_table(
            differs.map(str), key="runs_specs", text="What differs between the runs", name="differences", height=300
        )
    scores = tabulate_scores(runs)
    st.markdown("**Scores**" if len(scores) else "**Scores**: none yet")
    if len(scores):
        if len(runs) == 2:
            scores = scores.assign(difference=scores[runs[1].id] - scores[runs[0].id])
        shown = scores.rename(columns=labels)
        show_table(shown, key="runs_scores", text="Mean scores of the runs", name="scores", height=300)


def _show_live_curves(entry: Entry) -> None:
    names = {entry.id: entry.title or entry.id}

    def draw(found: Entry) -> None:
        if found.run is not None:
            show_curves([found.run], names, key="runs_curve")

    draw_live(lambda: find_entry(entry.id, current_settings()), draw, watch=_watch)


def _show_scores(run: RunRecord) -> None:
    part: Part = choose_one("Scored on", PARTS, key="runs_part", default="test")
    table = score_table(run, part=part)
    if table.empty:
        st.caption("It has no scores of this part: a run is scored when it is finished.")
        return
    show_table(table, key="runs_score", text="Mean scores of the run and of the baselines", name="scores", height=200)
