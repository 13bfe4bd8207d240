"""How long building and scoring will take, from rates that were measured.

A build takes START_SECONDS (a worker starts, data and model are opened) and then goes on at a rate of stored values:
cells are made, checked and packaged. The rate is that of earlier builds on this machine where there are some.

Scoring is cell-eval's (2025) of the same number of cells on both sides: pseudobulks in proportion to the cells, a rank
test in proportion to genes and to the cells of each test, controls included. The rates are those of specs measured with
cell-eval 0.8.2 on 2 cores: 15,000 and 45,000 cells a side of 18,080 genes without tests took 21 and 58 s, the tests of
50 perturbations of 200 cells against 5,000 controls 26 s a side; cell-eval2 0.20.0 took 1.28 times as long.
"""

from collections.abc import Iterable

import numpy as np

from vccapp.seasons.base import Season
from vccapp.submission.plan import Plan

START_SECONDS = 4.0
VALUES_PER_SECOND = 1.0e7
"""Stored values made, checked and packaged in a second on 2 cores: 145 million, of 16,688 cells of
18,080 simulated genes by the mean of perturbations, took 19 s."""
PSEUDOBULK_SECONDS = 1.23e-3 / 18_080
"""Of one gene of one cell on both sides."""
TEST_SECONDS = 26 / (50 * 5_200 * 18_080)
"""Of one gene of one cell in one test on one side."""
SCORER_START, SLOWER_2026 = 3.0, 1.28


def measure_rate(builds: Iterable[tuple[int, float]]) -> float | None:
    """Values a second from builds (stored values, seconds), the median; None without one that says something.

    Builds of little more than the start are left out.
    """
    rates = [n / (seconds - START_SECONDS) for n, seconds in builds if seconds > 2 * START_SECONDS]
    return float(np.median(rates)) if rates else None


def estimate_build(plan: Plan, *, rate: float | None = None) -> float:
    """Seconds from the click to the package."""
    return START_SECONDS + plan.estimate.n_values / (rate or VALUES_PER_SECOND)


def estimate_scoring(plan: Plan, season: Season) -> float:
    """Seconds that the season's official scorer takes for cells of these numbers, on this machine's kind."""
    seconds = 0.0
    for part in plan.parts:
        predicted = [n for label, n in part.cells.items() if n]
        n_cells, controls = sum(predicted), plan.n_controls or max(predicted)
        tested = sum(n + controls for n in predicted)
        seconds += SCORER_START + n_cells * plan.n_genes * PSEUDOBULK_SECONDS
        seconds += 2 * tested * plan.n_genes * TEST_SECONDS
    return seconds * (SLOWER_2026 if season.metrics == "2026" else 1.0)
