"""Submissions on a page: the cells wanted, the plan as a table, what was built, its checks and its download."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.data.atomic import scratch_folder
from vccapp.data.paths import user_path
from vccapp.data.workspace import Record, check_allowed
from vccapp.records import Listing
from vccapp.seasons.base import SEASONS, Season
from vccapp.stats.index import Index
from vccapp.submission.budget import observed_counts, read_pert_counts
from vccapp.submission.plan import Plan, list_plans, write_plan
from vccapp.submission.planning.choice import PlanChoice
from vccapp.submission.planning.make import make_plan
from vccapp.submission.report import Report, list_reports, list_unpackaged
from vccapp.tasks.build import Build
from vccapp.tasks.package import Package
from vccapp.training import RunRecord
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.runs import choose_run
from vccapp.ui.server.files import file_url, submission_file
from vccapp.wording import bytes_text, plain

SOURCES = {"heldout": "Held-out perturbations of the run", "upload": "Upload pert_counts.csv", "path": "Path of a CSV"}
SIGNS = {
    "ok": ":green-badge[:material/check_circle: ok]",
    "warning": ":orange-badge[:material/warning: warning]",
    "failed": ":red-badge[:material/error: failed]",
    "skipped": ":gray-badge[:material/remove: skipped]",
}


@dataclass(frozen=True)
class SubmissionChoice:
    """What is to be submitted. upload, path : of pert_counts.csv, where it is the source of the cells wanted.

    n_controls : None for all; genes : path of a list of genes, empty for those of the training file
    """

    run: RunRecord
    season: Season
    source: str
    upload: Any
    path: str | None
    n_controls: int | None
    genes: str
    name: str
    practice: bool

    def commands(self) -> list[str]:
        """`vccapp submit plan` and `build`."""
        name = self.name or "mine"
        path = self.upload.name if self.upload is not None else self.path
        plan = PlanChoice(
            run=self.run.id,
            season=self.season.name,
            targets=None if path else "heldout",
            counts=Path(path) if path else None,
            controls=self.n_controls,
            genes=Path(self.genes) if self.genes else None,
            practice=self.practice,
            context=current_context(),
            name=name,
        ).command()
        return [shlex.join(words) for words in (plan, Build(plan=name).command())]


def choose_submission(record: Record, index: Index) -> SubmissionChoice:
    """Run, season, cells wanted, controls, genes and name. Where there is no run, say so, and end the page."""
    if len(index.controls) > 1:
        st.info("A submission is of one context: choose it in the sidebar.")
        st.stop()
    left, right = st.columns([3, 2])
    with left:
        run = choose_run(record, key="sub_run")
    names = list(SEASONS)
    season = SEASONS[
        right.selectbox(
            "Season",
            names,
            key="sub_season",
            bind="query-params",
            format_func=lambda name: SEASONS[name].label,
        )
    ]
    source = choose_one("Source of the cell numbers", SOURCES, key="sub_source", default="heldout")
    upload = path = None
    if source == "upload":
        upload = st.file_uploader("pert_counts.csv", type="csv", key="sub_upload", max_upload_size=5)
    elif source == "path":
        path = st.text_input("Path of pert_counts.csv", key="sub_path", bind="query-params").strip()

    n_known = int(index.perturbations["n_cells"].iloc[0])
    left, middle, last, right = st.columns([3, 4, 4, 3], vertical_alignment="bottom")
    n_controls = left.number_input(
        "Control cells",
        1,
        n_known,
        n_known,
        key="sub_controls",
        bind="query-params",
        help="Copied from the training file",
    )
    gene_list = middle.text_input(
        "Gene list",
        key="sub_genes",
        bind="query-params",
        placeholder="Path of a CSV",
        help="If empty, the genes of the training file in order",
    )
    name = last.text_input("Name", key="sub_name", placeholder="Generated if empty").strip()
    practice = right.toggle(
        "Practice",
        value=len(index.genes) != season.n_genes,
        key="sub_practice",
        help=f"Allows other genes than the challenge's {season.n_genes:,}; the package is marked as practice.",
    )
    return SubmissionChoice(
        run=run,
        season=season,
        source=source,
        upload=upload,
        path=path,
        n_controls=None if n_controls == n_known else int(n_controls),
        genes=gene_list.strip(),
        name=name,
        practice=practice,
    )


def load_plan(choice: SubmissionChoice, index: Index) -> Plan | None:
    """The plan of what is chosen; None while the cells wanted are not given, or where a refusal was said."""
    with errors_shown():
        counts = load_wanted(choice.source, run=choice.run, index=index, upload=choice.upload, path=choice.path)
        if counts is not None:
            return make_plan(
                index,
                choice.run.id,
                counts,
                season=choice.season,
                settings=current_settings(),
                n_controls=choice.n_controls or int(index.perturbations["n_cells"].iloc[0]),
                genes=optional_path(choice.genes),
                practice=choice.practice,
                id=choice.name or None,
            )
    return None


def show_plan_numbers(plan: Plan, season: Season) -> None:
    """Cells and budget, sizes, and what was noticed."""
    estimate = plan.estimate
    with st.container(horizontal=True, key="numbers"):
        st.metric("Perturbations", f"{len(plan.cells):,}")
        st.metric("Cells", f"{estimate.n_cells:,}", help=f"Limit: {season.max_cells:,}, controls included")
        st.metric("Budget used", f"{estimate.n_cells / season.max_cells:.1%}")
        st.metric("Scaled by", f"{plan.alpha:.4f}", help="Planned cells divided by requested cells")
        st.metric("Package size", bytes_text(estimate.vcc_bytes))
        st.metric("Disk needed", bytes_text(estimate.disk_bytes))
    for note in plan.notes:
        st.caption(plain(note))


def show_build_button(plan: Plan) -> None:
    """The button that builds the submission, and its latest jobs."""
    if st.button("Build the submission", type="primary", icon=":material/package_2:", key="sub_build"):
        with errors_shown():
            write_plan(plan, current_settings())
            begin_job(Build(dataset=plan.datasets[0], plan=plan.id))
            st.rerun()
    show_jobs(task=(Build.name, Package.name), dataset=plan.datasets[0], limit=1, key="sub_jobs")


def optional_path(text: str) -> Path | None:
    """The path a user typed, if any. Raises DataError outside the folders that may be read."""
    if not text.strip():
        return None
    path = user_path(text)
    check_allowed(path, current_settings())
    return path


def load_wanted(source: str, *, run: RunRecord, index: Index, upload: Any, path: str | None) -> pd.DataFrame | None:
    """Cells wanted per perturbation (target_gene, n_cells); None while nothing was given yet."""
    if source == "heldout":
        counts = observed_counts(index.perturbations, [*run.split.test] or [*run.split.val])
        if len(counts):
            return counts
        st.info(
            "The run holds out no perturbation of this context: choose another context, or upload the cell numbers."
        )
        return None
    if upload is not None:
        with scratch_folder() as folder:
            copy = Path(folder) / Path(upload.name).name
            copy.write_bytes(upload.getvalue())
            return read_pert_counts(copy)
    chosen = optional_path(path or "")
    return None if chosen is None else read_pert_counts(chosen)


def plan_table(plan: Plan) -> pd.DataFrame:
    """One row a perturbation: perturbation, wanted, given."""
    return pd.DataFrame(
        {"perturbation": list(plan.cells), "wanted": list(plan.wanted.values()), "given": plan.cells.values()}
    )


def load_submissions() -> Listing[Report]:
    """Reports of built submissions, the newest first; a plan that cannot be read is among what is unreadable."""
    reports, plans = list_reports(current_settings()), list_plans(current_settings())
    return Listing(reports, [*plans.unreadable, *reports.unreadable])


def show_unpackaged() -> None:
    """Submissions whose cells are made but were never packaged, each with the button that goes on."""
    for plan in list_unpackaged(current_settings()):
        with st.container(border=True, key=f"unpackaged_{plan.id}"):
            left, right = st.columns([2, 1], vertical_alignment="center")
            left.markdown(f"**{plain(plan.id)}**: the cells are made, but there is no package.")
            if right.button("Package the cells", icon=":material/package_2:", key=f"sub_package_{plan.id}"):
                with errors_shown():
                    begin_job(Package(dataset=plan.datasets[0], plan=plan.id))
                    st.rerun()


def show_submission(report: Report) -> None:
    """One built submission: its checks and its download."""
    folder = report.folder
    package = submission_file(folder.name, f"{folder.name}.vcc", current_settings())
    with st.container(border=True, key=f"submission_{folder.name}"):
        left, right = st.columns([2, 1], vertical_alignment="center")
        practice = " :orange-badge[practice]" if report.kind == "PRACTICE" else ""
        left.markdown(f"**{plain(folder.name)}**{practice}")
        if package is not None:
            right.link_button(
                f"Download ({bytes_text(package.stat().st_size)})",
                file_url(folder.name, package.name),
                icon=":material/download:",
                type="primary",
                width="stretch",
            )
        if report.package is not None:
            st.caption(f"{sum(report.cells.values()):,} cells · sha256 {plain(report.package.sha256)}")
        for check in report.checks:
            fix = f"  \n:small[{plain(check.fix)}]" if check.fix else ""
            st.markdown(f"{SIGNS[check.status]} **{plain(check.label)}**: {plain(check.message)}{fix}")
