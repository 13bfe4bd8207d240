"""Rates of earlier builds, and times that grow with what is planned."""

import pytest

from vccapp.seasons.base import SEASONS
from vccapp.submission.plan import Plan, Source
from vccapp.submission.planning.times import START_SECONDS, estimate_build, estimate_scoring, measure_rate


def plan_of(n_cells: int, *, contexts: int = 1) -> Plan:
    names = [""] if contexts == 1 else [f"c{i}" for i in range(contexts)]
    return Plan(
        id="p",
        season="vcc2025",
        sources={name: Source(dataset="d", run="r") for name in names},
        genes=None,
        n_genes=18_080,
        cells={f"A@{name}" if name else "A": n_cells for name in names},
        wanted={f"A@{name}" if name else "A": n_cells for name in names},
        n_controls=100,
        values_per_cell=5_000,
        seed=0,
        practice=False,
    )


def test_the_rate_is_that_of_builds_that_took_longer_than_their_start() -> None:
    assert measure_rate([]) is None
    assert measure_rate([(10, START_SECONDS), (10**9, START_SECONDS * 1.5)]) is None
    builds = [(10**6 * n, START_SECONDS + 10 * n) for n in (2, 3, 4)]
    assert measure_rate([*builds, (10**9, START_SECONDS + 1)]) == pytest.approx(10**5)


def test_times_grow_with_cells_and_contexts() -> None:
    season = SEASONS["vcc2025"]
    few, many, two = plan_of(1_000), plan_of(10_000), plan_of(1_000, contexts=2)
    assert estimate_build(few) < estimate_build(many) and estimate_scoring(few, season) < estimate_scoring(many, season)
    assert estimate_scoring(two, season) == pytest.approx(2 * estimate_scoring(few, season))
    assert estimate_build(few, rate=few.estimate.n_values / 7) == pytest.approx(START_SECONDS + 7)
    assert estimate_scoring(few, SEASONS["vcc2026"]) > estimate_scoring(few, season)
