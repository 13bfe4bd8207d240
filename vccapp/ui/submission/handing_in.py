"""A package: its download with size and checksum, and the exact next step at the organisers'."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.evaluation.confidence import MEANING, describe_confidence
from vccapp.seasons.base import Phase, Season
from vccapp.submission.packing.package import Package
from vccapp.submission.report import Report
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_table
from vccapp.ui.server.files import download_name, file_url, submission_file
from vccapp.wording import bytes_text, plain


def show_download(report: Report, *, key: str) -> None:
    """The link to the package, where it is there; the browser resumes a download that broke."""
    if report.package is None:
        return
    folder = report.folder.name
    package = submission_file(folder, report.package.path.name, current_settings())
    if package is None:
        st.caption("The package is no longer in its folder; build it again.")
        return
    _show_link(folder, package, key=key)


def _show_link(folder: str, path: Path, *, key: str) -> None:
    with st.container(key=key):
        st.link_button(
            f"Download ({bytes_text(path.stat().st_size)})",
            file_url(folder, path.name),
            icon=":material/download:",
            type="primary",
            width="stretch",
        )


def show_package(report: Report) -> None:
    """Download, size and checksum."""
    if report.package is None:
        return
    left, right = st.columns([1, 2], vertical_alignment="center")
    with left:
        show_download(report, key="sub_download")
    right.caption(
        plain(f"{sum(report.cells.values()):,} cells · {report.package.size:,} bytes · sha256 {report.package.sha256}")
    )
    st.caption("A download that breaks goes on where it was. Compare the checksum with `sha256sum FILE`.")


def show_confidence(report: Report) -> None:
    """How sure each prediction is, the least sure first; nothing where that cannot be told."""
    if told := describe_confidence(report.confidence):
        with st.expander(f"Confidence: {plain(told)}", icon=":material/percent:", key="sub_confidence"):
            st.caption(MEANING)
            table = pd.DataFrame({"perturbation": list(report.confidence), "confidence": report.confidence.values()})
            table = table.astype({"confidence": float}).sort_values("confidence", kind="stable")
            show_table(table, key="sub_sure", text="Confidence of each prediction", name="confidence", height=260)


def show_handing_in(report: Report, season: Season) -> None:
    """What comes next, outside of the app: the official command, or the page to upload."""
    if report.package is not None:
        file = download_name(report.folder.name, report.package.path.name, current_settings())
        phase = season.phase(report.plan.phase)
        _show_next(file, report.id, season, phase, practice=report.kind == "PRACTICE")


def show_file_package(name: str, result: Mapping[str, Any], season: Season, phase: Phase, *, practice: bool) -> None:
    """The package of a file made elsewhere: download, size, checksum and what comes next."""
    package = Package.model_validate(result["package"])
    path = submission_file(name, package.path.name, current_settings())
    if path is None:
        st.caption("The package is no longer in its folder; package the file again.")
        return
    left, right = st.columns([1, 2], vertical_alignment="center")
    with left:
        _show_link(name, path, key="sub_file_download")
    right.caption(plain(f"{package.size:,} bytes · sha256 {package.sha256}"))
    _show_next(path.name, name, season, phase, practice=practice)


def _show_next(file: str, name: str, season: Season, phase: Phase, *, practice: bool) -> None:
    if practice:
        st.info("This package is practice: it is no submission of the season.", icon=":material/school:")
        return
    if not season.hand_in:
        return
    st.markdown("**Hand it in**")
    if phase.confirm and not st.checkbox(plain(f"I know: {phase.confirm}"), key=f"sub_confirm_{name}"):
        return
    if season.hand_in.startswith("https://"):
        st.link_button(f"Upload it at {plain(season.hand_in)}", season.hand_in, icon=":material/upload:")
        return
    command = season.hand_in.format(file=shlex.quote(file), name=shlex.quote(name))
    st.code(command, language="bash", wrap_lines=True)
    st.caption("Run it where the download lies. It asks for your token itself (`vcc login`); this app never does.")
