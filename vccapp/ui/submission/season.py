"""The season and phase of the page Submit, with their dates and limits on top."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import streamlit as st

from vccapp.data.paths import user_path
from vccapp.data.workspace import check_allowed
from vccapp.errors import VccAppError
from vccapp.seasons.base import Phase, Season
from vccapp.seasons.opened import find_bundle, list_seasons
from vccapp.submission.planning.choice import find_control_data
from vccapp.tasks.open_season import OpenSeason
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.frame import errors_shown, page_link, show_error
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_unreadable
from vccapp.wording import plain


def keep_among(key: str, options: Iterable[Any]) -> None:
    """Forget a choice of this visit that the widget no longer offers."""
    if key in st.session_state and st.session_state[key] not in list(options):
        del st.session_state[key]


def choose_season() -> tuple[Season, Phase]:
    """Season and phase, and on top what they ask and when they close."""
    listed = list_seasons(current_settings())
    show_unreadable(listed.unreadable)
    seasons = {season.name: season for season in listed}
    left, right = st.columns([3, 2])
    keep_among("sub_season", seasons)
    name = left.selectbox(
        "Season", list(seasons), key="sub_season", bind="query-params", format_func=lambda name: seasons[name].label
    )
    season = seasons[name]
    phases = {phase.name: plain(phase.label) for phase in season.phases}
    keep_among("sub_phase", phases)
    with right:
        chosen = choose_one("Phase", phases, key="sub_phase", default=season.phase().name)
    phase = season.phase(chosen)
    _show_rules(season, phase)
    return season, phase


def _show_rules(season: Season, phase: Phase) -> None:
    """What the phase asks, in one line, and when it closes."""
    exact = season.cells_per_target
    n_targets = len(phase.targets)
    values = " or ".join({"log1p": "log1p values", "counts": "raw counts"}[space] for space in season.spaces)
    facts = [
        f"{n_targets:,} targets" if n_targets else "targets in the organisers' files",
        *([f"contexts {', '.join(phase.contexts)}"] if phase.contexts else []),
        *([f"exactly {exact:,} cells of each"] if exact else []),
        f"{season.n_genes:,} genes",
        values,
        f"controls {season.controls}",
        f"at most {season.max_cells:,} cells",
    ]
    _show_dates(phase, datetime.now(UTC).date())
    st.markdown(plain(" · ".join(facts)))
    note = f"{phase.note} " if phase.note else ""
    st.caption(plain(f"{note}Source of the rules: {season.source}."))
    if not season.is_known(phase.name):
        st.info("Genes and targets of this phase are in the organisers' files: open them below.")
    _show_controls(season, phase)


def _show_controls(season: Season, phase: Phase) -> None:
    """Where the control cells of an opened bundle lie that are no dataset with statistics yet."""
    try:
        files = find_bundle(season.name, phase.name, current_settings()).controls
    except VccAppError:  # not opened, or damaged, which the list above says
        return
    ready = find_control_data(season, phase.name, current_settings())
    missing = {context: path for context, path in files.items() if context not in ready}
    if not missing:
        return
    st.info("The control cells of each context become a dataset: compute their statistics once.")
    with st.container(horizontal=True):
        for context, path in missing.items():
            page_link("data", f"Controls of {context}", data_path=str(path))


def show_season_opening(season: Season, phase: Phase) -> None:
    """A form that opens the organisers' files, or a season that a user wrote."""
    known = season.is_known(phase.name)
    with st.expander(
        "Open a season's files",
        icon=":material/folder_open:",
        expanded=not known,
        key="sub_opening",
        on_change="ignore",
    ):
        left, right = st.columns([4, 1], vertical_alignment="bottom")
        typed = left.text_input(
            "The organisers' folder or zip of controls, or a season of your own",
            key="sub_season_file",
            placeholder="Path of a folder, a .zip or a .toml",
        )
        replace = right.toggle("Replace", key="sub_season_replace", help="Replaces a season of the same name")
        task = None
        try:
            if (path := typed_path(typed)) is not None:
                task = OpenSeason(path=path, replace=replace)
        except VccAppError as error:
            show_error(error)
        if st.button("Open", key="sub_season_open", icon=":material/folder_open:", disabled=task is None):
            with errors_shown():
                if task is not None:
                    begin_job(task)
                    st.rerun()
        show_jobs(task=OpenSeason.name, limit=1, key="sub_season_jobs")


def typed_path(text: str) -> Path | None:
    """The path a user typed, if any. Raises DataError outside the folders that may be read."""
    if not text.strip():
        return None
    path = user_path(text)
    check_allowed(path, current_settings())
    return path


def _show_dates(phase: Phase, today: date) -> None:
    """When a phase opens or closes, as a badge; nothing where its dates are not known."""
    if phase.opens is not None and today < phase.opens:
        days = (phase.opens - today).days
        st.badge(f"Opens {plain(f'{phase.opens:%d %b %Y}')}, in {days:d} days", icon=":material/event:", color="blue")
    elif phase.closes is not None and today > phase.closes:
        st.badge(f"Closed {plain(f'{phase.closes:%d %b %Y}')}", icon=":material/lock:", color="gray")
    elif phase.closes is not None:
        days = (phase.closes - today).days
        st.badge(
            f"Until {plain(f'{phase.closes:%d %b %Y}')}, days left: {days:d}", icon=":material/event:", color="green"
        )
