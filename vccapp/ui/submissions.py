"""Submissions on a page: the cells wanted, the plan as a table, what was built, its checks and its download."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.data.workspace import check_allowed
from vccapp.records import Listing
from vccapp.stats.index import Index
from vccapp.submission.budget import observed_counts, read_pert_counts
from vccapp.submission.plan import Plan, list_plans
from vccapp.submission.report import Report, list_reports
from vccapp.training import RunRecord
from vccapp.ui.kit.files import file_url
from vccapp.ui.kit.loaders import current_settings
from vccapp.wording import bytes_text

SIGNS = {
    "ok": ":green-badge[:material/check_circle: ok]",
    "warning": ":orange-badge[:material/warning: warning]",
    "failed": ":red-badge[:material/error: failed]",
    "skipped": ":gray-badge[:material/remove: skipped]",
}


def optional_path(text: str) -> Path | None:
    """The path a user typed, if any. Raises DataError outside the folders that may be read."""
    if not text.strip():
        return None
    path = Path(text.strip()).expanduser()
    check_allowed(path, current_settings())
    return path


def load_wanted(source: str, *, run: RunRecord, index: Index, upload: Any, path: str | None) -> pd.DataFrame | None:
    """Cells wanted per perturbation (target_gene, n_cells); None while nothing was given yet."""
    if source == "heldout":
        return observed_counts(index.perturbations, [*run.split.test] or [*run.split.val])
    if upload is not None:
        with tempfile.TemporaryDirectory() as folder:
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


def show_submission(report: Report) -> None:
    """One built submission: its checks and its download."""
    folder = report.folder
    packages = sorted(folder.glob("*.vcc"))
    with st.container(border=True, key=f"submission_{folder.name}"):
        left, right = st.columns([4, 1], vertical_alignment="center")
        practice = " :orange-badge[practice]" if report.kind == "PRACTICE" else ""
        left.markdown(f"**{folder.name}**{practice}")
        for package in packages:
            right.link_button(
                f"Download ({bytes_text(package.stat().st_size)})",
                file_url(folder.name, package.name),
                icon=":material/download:",
                type="primary",
                width="stretch",
            )
        if report.package is not None:
            st.caption(f"{sum(report.cells.values()):,} cells · sha256 {report.package.sha256}")
        for check in report.checks:
            fix = f"  \n:small[{check.fix}]" if check.fix else ""
            st.markdown(f"{SIGNS[check.status]} **{check.label}**: {check.message}{fix}")
