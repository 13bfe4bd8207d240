"""The season and phase of the page Submit, with their dates and limits on top."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import streamlit as st

from vccapp.seasons.base import Phase, Season
from vccapp.seasons.opened import list_seasons
from vccapp.ui.kit.forms import choose_one
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
    if not n_targets or season.genes is None:
        st.info(
            "Genes and targets of this season are in the organisers' files. Open them once: "
            "`vccapp season open FOLDER` (the folder or zip of controls)."
        )


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
