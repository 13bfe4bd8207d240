"""One submission on the page Ledger: what is known of it, notes and tags, what was sent, its scores, its next rung."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from vccapp.evaluation.leaderboard.metric_names import OVERALL, label_metric
from vccapp.jobs.store import JobStore
from vccapp.seasons.opened import find_season
from vccapp.submission.ledger.compare import describe_making
from vccapp.submission.ledger.entry import forget_sent, record_sent, set_note, set_tags
from vccapp.submission.ledger.listing import Submission
from vccapp.submission.ledger.official import parse_official
from vccapp.submission.ledger.ranking import tabulate_scores
from vccapp.submission.ledger.scoring import Scale, enter_official, enter_scores
from vccapp.submission.plan import write_plan
from vccapp.submission.planning.like import plan_like
from vccapp.tasks.build import Build
from vccapp.tasks.reproduce import Reproduce
from vccapp.training import list_runs
from vccapp.ui.kit.frame import errors_shown, page_link
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.runs import run_label
from vccapp.ui.kit.show import show_table
from vccapp.ui.kit.tables import plain_table
from vccapp.wording import bytes_text, plain

LAST_JOBS = 20


def show_one(ledger: Sequence[Submission]) -> list[str]:
    """Choose a submission, see it and write on it; returns commands that do the same."""
    known = {one.id: one for one in ledger}
    st.subheader("One submission", anchor=False)
    id = st.selectbox("Submission", list(known), key="ledger_id", bind="query-params")
    one = known[id]
    with st.container(border=True, key="ledger_one"):
        _show_facts(one)
        left, right = st.columns(2)
        with left:
            _show_notes(one)
        with right:
            _show_sent(one)
        scores = st.expander("Enter an official score", icon=":material/gavel:", key="ledger_enter", on_change="rerun")
        if scores.open:
            with scores:
                _show_scoring(one)
        made = st.expander("What made it", icon=":material/construction:", key="ledger_made", on_change="rerun")
        if made.open:
            with made:
                _show_making(one)
        _show_next(one)
        _show_again(one)
    words = ["vccapp", "submit"]
    return [shlex.join([*words, "ledger", "show", id]), shlex.join([*words, "reproduce", id])]


def _show_facts(one: Submission) -> None:
    """State, package and official scores."""
    plan, package = one.plan, one.package
    if plan is not None:
        about = [plan.season, plan.phase or "no phase", plan.space, ", ".join(plan.runs)]
        st.markdown(f"**{plain(one.id)}** · {plain(one.state)}  \n:small[{plain(' · '.join(about))}]")
    if package is not None:
        there = "" if one.file is not None else " · the file is no longer in its folder"
        st.caption(plain(f"{bytes_text(package.size)} · sha256 {package.sha256}{there}"))
    if one.note:
        st.warning(plain(one.note), icon=":material/difference:")
    scores = tabulate_scores([one])
    if len(scores):
        text = f"Official scores of {one.id}"
        show_table(scores.drop(columns="submission"), key="ledger_scores", text=text, name="scores", height=240)


def _show_notes(one: Submission) -> None:
    note = st.text_area("Note", one.entry.note, key=f"ledger_note_{one.id}", max_chars=2000, height=90)
    known = list(one.entry.tags)
    tags = st.multiselect(
        "Tags", known, known, key=f"ledger_tags_{one.id}", accept_new_options=True, placeholder="Type a word"
    )
    if st.button("Save note and tags", icon=":material/save:", key="ledger_save"):
        with errors_shown():
            set_note(one.id, note, current_settings())
            gone = [tag for tag in known if tag not in tags]
            set_tags(one.id, current_settings(), add=tags, remove=gone)
            st.rerun()


def _show_sent(one: Submission) -> None:
    """Note an upload, with the phase and what it means there."""
    for sent in one.entry.sent:
        st.markdown(plain(f"Sent {sent.when:%Y-%m-%d %H:%M} UTC, {sent.phase or 'no phase'}"))
    report = one.built
    if report is None or report.package is None:
        st.caption("It has no package yet, so it cannot have been sent.")
        return
    season = find_season(report.season, current_settings())
    phases = {phase.name: phase.label for phase in season.phases}
    names = list(phases)
    index = names.index(report.plan.phase) if report.plan.phase in phases else 0
    chosen = st.selectbox(
        "Phase", names, index=index, key=f"ledger_phase_{one.id}", format_func=lambda name: phases[name]
    )
    now = datetime.now(UTC)
    day, clock = st.columns(2)
    date = day.date_input("Sent on (UTC)", now.date(), key=f"ledger_day_{one.id}")
    time = clock.time_input("At", now.time().replace(second=0, microsecond=0), key=f"ledger_time_{one.id}")
    st.caption("In each phase the last one sent is the one that counts.")
    send, undo = st.columns(2)
    if send.button("Note as sent", icon=":material/upload:", key="ledger_sent", width="stretch"):
        with errors_shown():
            when = min(datetime.combine(date, time, tzinfo=UTC), datetime.now(UTC)) if date == now.date() else None
            when = when or datetime.combine(date, time, tzinfo=UTC)
            record_sent(one.id, current_settings(), when=when, phase=chosen)
            st.rerun()
    if one.entry.sent and undo.button("Undo the last", icon=":material/undo:", key="ledger_undo", width="stretch"):
        with errors_shown():
            forget_sent(one.id, current_settings())
            st.rerun()


def _show_scoring(one: Submission) -> None:
    """By the JSON of the official tool, or by hand."""
    if one.plan is None:
        st.caption("Nothing is known of it but its name.")
        return
    printed = st.text_area(
        "JSON of the official tool",
        key=f"ledger_json_{one.id}",
        placeholder='{"entry_id": ..., "score_avg": ...}',
        help="What `vcc status ID --json` prints",
    )
    if st.button("Read the JSON", icon=":material/data_object:", key="ledger_read", disabled=not printed.strip()):
        with errors_shown():
            enter_official(one.id, parse_official(printed, "The text"), current_settings())
            st.rerun()
    season = find_season(one.plan.season, current_settings())
    phases = [phase.name for phase in season.phases]
    left, middle, right = st.columns(3)
    phase = left.selectbox("Scored in", phases, key=f"ledger_in_{one.id}")
    scales: list[Scale] = ["scaled", "raw"]
    scale = middle.selectbox("Scale", scales, key=f"ledger_scale_{one.id}", help="scaled: 0 = baseline")
    rank = right.number_input("Rank", min_value=1, value=None, step=1, key=f"ledger_rank_{one.id}")
    places = st.columns(4) + st.columns(4)
    scores = {
        name: place.number_input(
            plain(_label(name)), value=None, format="%.5f", step=None, key=f"ledger_{one.id}_{name}"
        )
        for place, name in zip(places, season.judged, strict=False)
    }
    if st.button("Enter the scores", icon=":material/save:", key="ledger_score"):
        with errors_shown():
            known = {name: value for name, value in scores.items() if value is not None}
            enter_scores(one.id, known, current_settings(), phase=phase, scale=scale, rank=rank)
            st.rerun()


def _show_making(one: Submission) -> None:
    told = describe_making(one, current_settings())
    frame = pd.DataFrame({"what": list(told), "value": list(told.values())})
    st.table(plain_table(frame), border="horizontal", hide_index=True, hide_header=True, alt=f"What made {one.id}")


def _show_next(one: Submission) -> None:
    """The same plan with another run: one click builds it."""
    if one.plan is None:
        return
    runs = {
        run.id: run
        for run in list_runs(current_settings())
        if run.state == "finished" and run.spec.dataset in one.plan.datasets and run.id not in one.plan.runs
    }
    if not runs:
        return
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    chosen = left.selectbox(
        "Another run on the same plan",
        list(runs),
        key=f"ledger_run_{one.id}",
        format_func=lambda id: run_label(runs[id]),
        help="Cells, seed and controls stay the same, so that a comparison shows what the run alone changes",
    )
    if right.button("Build with this run", icon=":material/stairs:", key="ledger_like", width="stretch"):
        with errors_shown():
            plan = plan_like(one.plan, chosen, current_settings())
            write_plan(plan, current_settings())
            begin_job(Build(dataset=plan.datasets[0], plan=plan.id))
            st.rerun()


def _show_again(one: Submission) -> None:
    """Make it again, byte for byte; the jobs of the page."""
    if one.package is None or one.plan is None:
        return
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.caption("Making it again tells whether its bytes still come from its plan, run and data.")
    if right.button("Make it again and compare", icon=":material/fingerprint:", key="ledger_again", width="stretch"):
        with errors_shown():
            begin_job(Reproduce(dataset=one.plan.datasets[0], submission=one.id))
            st.rerun()
    show_jobs(task=(Reproduce.name, Build.name), limit=2, key="ledger_jobs")
    _show_made_again(one)
    if one.planned is not None:
        page_link("submit", "Open in Submit", sub_open=one.id)


def _show_made_again(one: Submission) -> None:
    """What making it again has told last."""
    with JobStore(current_settings()) as store:
        jobs = store.find(task=Reproduce.name, state="succeeded", limit=LAST_JOBS)
    job = next((job for job in jobs if job.params.get("submission") == one.id), None)
    if job is None or job.result is None:
        return
    if job.result["same"]:
        st.success(plain(job.result["told"]), icon=":material/check_circle:")
    else:
        st.warning(plain(job.result["told"]), icon=":material/difference:")


def _label(metric: str) -> str:
    return "Overall" if metric == OVERALL else label_metric(metric)
