"""Numbers of cells: controls that fit, shares, numbers set by hand, and the limits of a season."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refusal

from vccapp.errors import SpecError
from vccapp.seasons.base import SEASONS, Season
from vccapp.submission.planning.numbers import (
    CONTROL_SHARE,
    EFFECT_RANGE,
    advise_controls,
    edit_cells,
    share_cells,
)

SEASON = SEASONS["vcc2025"]
EXACT = SEASONS["vcc2026"]


def capped(max_cells: int) -> Season:
    return SEASON.model_copy(update={"max_cells": max_cells})


def test_all_controls_when_they_fit_else_a_share_of_the_budget() -> None:
    asked = SEASON.wanted("validation")
    assert advise_controls(asked, n_available=38_176, n_contexts=1, season=SEASON) == 38_176
    asked = SEASON.wanted("final")  # more than the cap alone
    low, high = (share * SEASON.max_cells for share in CONTROL_SHARE)
    assert advise_controls(asked, n_available=38_176, n_contexts=1, season=SEASON) == low
    assert advise_controls({"A": 93_000}, n_available=38_176, n_contexts=1, season=SEASON) == 7_000
    assert advise_controls({"A": 70_000}, n_available=38_176, n_contexts=1, season=SEASON) == high
    assert advise_controls({"A": 93_000}, n_available=38_176, n_contexts=2, season=SEASON) == 3_500
    assert advise_controls({"A": 93_000}, n_available=40, n_contexts=1, season=SEASON) == 40
    assert advise_controls({"A": 400}, n_available=40, n_contexts=3, season=EXACT) == 0


WANTED = st.lists(st.integers(1, 5_000), min_size=1, max_size=40).map(lambda ns: {f"G{i}": n for i, n in enumerate(ns)})


@given(WANTED, st.sampled_from(["advised", "equal", "effect"]), st.integers(40, 100_000), st.integers(0, 2**31))
def test_no_sharing_exceeds_the_cap_or_leaves_one_out(wanted: dict, sharing: str, cap: int, seed: int) -> None:
    effects = {label: float(seed % (7 + i)) for i, label in enumerate(wanted)}
    cells = share_cells(wanted, season=capped(cap), n_controls=0, sharing=sharing, effects=effects)
    assert list(cells) == list(wanted) and min(cells.values()) >= 1
    assert sum(cells.values()) <= max(cap, len(wanted))


def test_equal_and_by_effect() -> None:
    wanted = {"A": 100, "B": 300, "C": 200}
    assert share_cells(wanted, season=SEASON, n_controls=0, sharing="equal") == dict.fromkeys(wanted, 200)
    effects = {"A": 1.0, "B": 1.0, "C": 4.0}
    cells = share_cells(wanted, season=SEASON, n_controls=0, sharing="effect", effects=effects)
    assert cells == {"A": 100, "B": 100, "C": 400}  # half, half and twice the mean
    strong = share_cells(wanted, season=SEASON, n_controls=0, sharing="effect", effects={"A": 0.0, "B": 1.0, "C": 99.0})
    assert strong["C"] / strong["A"] <= EFFECT_RANGE[1] / EFFECT_RANGE[0] + 0.1
    even = share_cells(wanted, season=SEASON, n_controls=0, sharing="effect", effects=dict.fromkeys(wanted, 0.0))
    assert set(even.values()) == {200}
    with refusal(SpecError, "no_effects"):
        share_cells(wanted, season=SEASON, n_controls=0, sharing="effect", effects={"A": 1.0})


def test_a_season_that_says_exactly_how_many_gets_as_many() -> None:
    wanted = {"A@D": 400, "A@E": 400}
    assert share_cells(wanted, season=EXACT, n_controls=0) == wanted
    with refusal(SpecError, "exact_cells"):
        share_cells(wanted, season=EXACT, n_controls=0, sharing="equal")
    with refusal(SpecError, "exact_cells"):
        edit_cells(wanted, {"A": 399}, season=EXACT, n_controls=0)
    assert edit_cells(wanted, {"A": 400}, season=EXACT, n_controls=0) == wanted
    with refusal(SpecError, "over_budget"):
        share_cells(wanted, season=EXACT.model_copy(update={"max_cells": 700}), n_controls=0)


def test_numbers_are_set_by_target_or_by_label() -> None:
    cells = {"A@x": 10, "A@y": 20, "B@x": 30}
    season = capped(100)
    assert edit_cells(cells, {"A": 5}, season=season, n_controls=0) == {"A@x": 5, "A@y": 5, "B@x": 30}
    assert edit_cells(cells, {"A": 5, "A@y": 7}, season=season, n_controls=0) == {"A@x": 5, "A@y": 7, "B@x": 30}
    with refusal(SpecError, "over_budget") as error:
        edit_cells(cells, {"B@x": 71}, season=season, n_controls=0)
    assert "101 cells" in str(error.value) and "1 fewer" in str(error.value)
    with refusal(SpecError, "no_cells_wanted"):
        edit_cells(cells, {"B@x": 0}, season=season, n_controls=0)


@pytest.mark.parametrize("n_controls", [0, 10])
def test_controls_count_for_the_cap(n_controls: int) -> None:
    cells = share_cells({"A": 50, "B": 100}, season=capped(100), n_controls=n_controls)
    places = 100 - n_controls
    assert cells == {"A": 50 * places // 150, "B": 100 * places // 150}
