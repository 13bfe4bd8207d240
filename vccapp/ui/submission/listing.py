"""Submissions that there are: those of the page's data, and apart from them those of others."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.jobs.store import JobStore
from vccapp.records import Listing
from vccapp.submission.plan import Plan, list_plans
from vccapp.submission.report import Report, has_cells, list_reports
from vccapp.training import RunRecord, list_runs
from vccapp.ui.kit.loaders import current_settings, load_datasets
from vccapp.ui.kit.runs import run_label
from vccapp.ui.kit.show import show_unreadable
from vccapp.ui.submission.findings import count_findings
from vccapp.ui.submission.handing_in import show_download
from vccapp.ui.submission.plan import delete_button
from vccapp.wording import plain


@dataclass(frozen=True)
class Kept:
    """A submission of the workspace. report : None until it was built"""

    plan: Plan
    report: Report | None


def load_submissions() -> Listing[Kept]:
    """All, the newest built first, then those that are planned; what cannot be read is among the unreadable."""
    settings = current_settings()
    plans, reports = list_plans(settings), list_reports(settings)
    built = {report.folder.name: report for report in reports}
    kept = [Kept(plan, built.get(plan.id)) for plan in plans]
    kept.sort(key=lambda one: "" if one.report is None else one.report.built, reverse=True)
    return Listing(kept, [*plans.unreadable, *reports.unreadable])


def show_submissions(record: Record) -> None:
    """Those of the page's data, each with what made it; those of other data apart."""
    kept = load_submissions()
    if kept or kept.unreadable:
        st.subheader("Submissions", anchor=False)
    show_unreadable(kept.unreadable)
    records = {one.fingerprint: one for one in load_datasets()}
    runs = {run.id: run for run in list_runs(current_settings())}
    busy = _busy_plans()
    own = [one for one in kept if record.fingerprint in one.plan.datasets]
    others = [one for one in kept if record.fingerprint not in one.plan.datasets]
    for one in own:
        _show(one, records, runs, busy=one.plan.id in busy)
    if kept and not own:
        st.caption(f"There are none of {plain(record.title)} yet.")
    if others:
        with st.expander(f"Submissions of other data ({len(others):,})", icon=":material/folder:"):
            for one in others:
                _show(one, records, runs, busy=one.plan.id in busy)


def _show(one: Kept, records: Mapping[str, Record], runs: Mapping[str, RunRecord], *, busy: bool) -> None:
    plan, report = one.plan, one.report
    key = f"submission_{plan.id}"
    with st.container(border=True, key=key):
        left, middle, right = st.columns([5, 2.2, 2.2], vertical_alignment="center")
        practice = " :orange-badge[practice]" if plan.practice else ""
        simulated = any(records[data].simulated for data in plan.datasets if data in records)
        badge = " :orange-badge[:material/science: SIMULATED]" if simulated else ""
        left.markdown(f"**{plain(plan.id)}**{practice}{badge}  \n:small[{plain(_describe(one, records, runs))}]")
        with middle:
            if report is not None:
                show_download(report, key=f"{key}_get")
        with right:
            if not busy:
                delete_button(plan.id, key=key)
        if report is not None and report.package is not None:
            left.caption(f"sha256 {plain(report.package.sha256)}")


def _describe(one: Kept, records: Mapping[str, Record], runs: Mapping[str, RunRecord]) -> str:
    """Data, models, season, cells, date and state, in one line."""
    plan, report = one.plan, one.report
    titles = [records[data].title if data in records else f"data {data}" for data in plan.datasets]
    models = [run_label(runs[run]) if run in runs else run for run in plan.runs]
    if report is None:
        state = "cells made, not packaged" if has_cells(plan, current_settings()) else "planned"
    else:
        failed, _ = count_findings(report.checks)
        state = f"built {report.built[:16].replace('T', ' ')}" + (f", {failed} checks failed" if failed else "")
    cells = f"{sum(plan.cells_in_order.values()):,} cells"
    return " · ".join([*titles, *models, plan.season, plan.phase or "no phase", plan.space, cells, state])


def _busy_plans() -> set[str]:
    """Ids of plans that a job works on."""
    with JobStore(current_settings()) as store:
        return {str(job.params.get("plan")) for job in store.find(limit=100) if job.active}
