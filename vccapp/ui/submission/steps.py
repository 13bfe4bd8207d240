"""The four steps of a submission with their state; each opens when the one before stands."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import streamlit as st

from vccapp.jobs.job import Job
from vccapp.jobs.local import reconcile
from vccapp.jobs.store import JobStore
from vccapp.seasons.base import Season
from vccapp.seasons.opened import find_season
from vccapp.submission.plan import Plan, load_plan, write_plan
from vccapp.submission.planning.times import estimate_build, estimate_scoring, measure_rate
from vccapp.submission.report import Report, find_report, has_cells
from vccapp.tasks.build import Build
from vccapp.tasks.package import Package
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.submission.findings import count_findings, show_findings
from vccapp.ui.submission.handing_in import show_confidence, show_handing_in, show_package
from vccapp.ui.submission.official import show_official
from vccapp.wording import bytes_text, duration_text, plain

Badge = tuple[str, Literal["green", "blue", "red", "gray", "orange"]]
TASKS = (Build.name, Package.name)
LAST_BUILDS = 20
STATES: Mapping[str, Badge] = {
    "done": (":material/check_circle:", "green"),
    "practice": (":material/school:", "orange"),
    "now": (":material/play_circle:", "blue"),
    "failed": (":material/error:", "red"),
    "waits": (":material/hourglass_empty:", "gray"),
}


@contextlib.contextmanager
def step(number: int, title: str, *, state: str, said: str) -> Iterator[Callable[[str, str], None]]:
    """The frame of a step: its number, title and state, which what it gives changes."""
    with st.container(border=True, key=f"sub_step_{number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"{number:d} {plain(title)}", anchor=False, width="content")
            badge = st.empty()

        def say(state: str, said: str) -> None:
            icon, colour = STATES[state]
            badge.badge(plain(said), icon=icon, color=colour)

        say(state, said)
        yield say


def show_steps(plan: Plan | None) -> None:
    """Cells, checks and package of a plan, as far as they have come."""
    report = None if plan is None else find_report(plan, current_settings())
    job = None if plan is None else _latest_job(plan)
    made = plan is not None and has_cells(plan, current_settings()) and _is_same(plan)
    _show_cells(plan, job, made=made)
    _show_checks(report, job, made=made)
    _show_package(plan, report, job, made=made)


def _show_waiting(number: int, title: str, said: str) -> None:
    """A step that is not open yet."""
    with step(number, title, state="waits", said=said):
        pass


def _show_cells(plan: Plan | None, job: Job | None, *, made: bool) -> None:
    active = job is not None and job.active
    if plan is None:
        _show_waiting(2, "Cells", "opens with a plan that can stand")
        return
    state, said = ("done", "made") if made else ("now", "not made yet")
    if active:
        state, said = "now", "being made"
    elif job is not None and job.state in ("failed", "lost") and not made:
        state, said = "failed", "failed"
    with step(2, "Cells", state=state, said=said):
        season = find_season(plan.season, current_settings())
        _show_costs(plan, season)
        left, _ = st.columns([1, 1])
        label = "Build the submission again" if made else "Build the submission"
        if left.button(
            label,
            type="secondary" if made else "primary",
            icon=":material/package_2:",
            key="sub_build",
            disabled=active,
            width="stretch",
        ):
            with errors_shown():
                write_plan(plan, current_settings())
                begin_job(Build(dataset=plan.datasets[0], plan=plan.id))
                st.rerun()
        show_jobs(task=TASKS, only=lambda job: job.params.get("plan") == plan.id, limit=1, key="sub_jobs")


def _show_costs(plan: Plan, season: Season) -> None:
    """What building and scoring take, before a cell exists."""
    estimate = plan.estimate
    rate = _earlier_rate()
    by = "earlier builds here" if rate else "builds on 2 cores"
    with st.container(horizontal=True, key="sub_costs"):
        st.metric("Stored values", f"{estimate.n_values:,}", help="As many non-zero genes a cell as the controls have")
        st.metric("Package size", bytes_text(estimate.vcc_bytes), help="At most")
        st.metric("Disk needed", bytes_text(estimate.disk_bytes), help="Cells and package, while building")
        st.metric("Memory", bytes_text(estimate.memory_bytes), help="At the peak of building")
        st.metric("Time to build", duration_text(estimate_build(plan, rate=rate)), help=f"By the rate of {by}")
        st.metric(
            "Time to score",
            duration_text(estimate_scoring(plan, season)),
            help="By the official scorer on 2 cores, against as many real cells",
        )


def _earlier_rate() -> float | None:
    """Stored values a second of the latest builds of this workspace."""
    with JobStore(current_settings()) as store:
        jobs = store.find(task=Build.name, state="succeeded", limit=LAST_BUILDS)
    builds = []
    for job in jobs:
        with contextlib.suppress(Exception):
            n_values = load_plan(job.params["plan"], current_settings()).estimate.n_values
            builds.append((n_values, (job.ended or 0.0) - (job.started or 0.0)))
    return measure_rate(builds)


def _show_checks(report: Report | None, job: Job | None, *, made: bool) -> None:
    if report is None:
        said = "waits for the job" if job is not None and job.active else "opens when the cells are made"
        _show_waiting(3, "Checks", said)
        return
    failed, warnings = count_findings(report.checks)
    state = "failed" if failed else "done"
    said = f"{failed} failed" if failed else "all passed" + (f", {warnings} with a warning" if warnings else "")
    with step(3, "Checks", state=state, said=said):
        show_findings(report.checks, key="sub_checks")


def _show_package(plan: Plan | None, report: Report | None, job: Job | None, *, made: bool) -> None:
    failed = 0 if report is None else count_findings(report.checks)[0]
    if plan is None or not made or failed:
        _show_waiting(4, "Package", "opens when no check fails")
    elif report is not None and report.package is not None:
        state, said = ("practice", "practice package") if plan.practice else ("done", "ready to hand in")
        with step(4, "Package", state=state, said=said):
            season = find_season(plan.season, current_settings())
            show_package(report)
            show_confidence(report)
            if plan.genes is not None or plan.order == "season":
                package = report.folder / report.package.path
                show_official(package, season, plan.phase, genes=plan.genes, key="sub_official")
            show_handing_in(report, season)
    elif job is not None and job.active:
        _show_waiting(4, "Package", "waits for the job")
    else:
        with step(4, "Package", state="now", said="not packaged yet"):
            st.markdown("The cells are made, but there is no package.")
            if st.button("Check and package the cells", icon=":material/package_2:", key=f"sub_package_{plan.id}"):
                with errors_shown():
                    begin_job(Package(dataset=plan.datasets[0], plan=plan.id))
                    st.rerun()


def _latest_job(plan: Plan) -> Job | None:
    reconcile(current_settings())
    with JobStore(current_settings()) as store:
        jobs = store.find(task=TASKS, limit=LAST_BUILDS)
    return next((job for job in jobs if job.params.get("plan") == plan.id), None)


def _is_same(plan: Plan) -> bool:
    """Whether the plan that is saved under this name is this one."""
    with contextlib.suppress(Exception):
        return load_plan(plan.id, current_settings()) == plan
    return False
