"""The approximation of power against tests of simulated cells."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from vccapp.submission.planning.power import KEPT, P, compute_power

SIZES = (20, 60, 200)
REPEATS = 150
GENES = [(0.1, 0.3), (0.5, 0.3), (1.0, 2.0), (2.0, 0.5), (5.0, 0.5), (20.0, 0.2)]
"""Mean counts of a cell, and their dispersion."""


def draw(rng: np.random.Generator, depths: np.ndarray, mean: float, dispersion: float) -> np.ndarray:
    """Negative binomial counts of cells."""
    return rng.poisson(rng.gamma(1 / dispersion, mean * dispersion, len(depths)) * depths)


def simulate(rng: np.random.Generator, n: int, m: int, mean: float, dispersion: float, depth: float) -> float:
    """The share of experiments in which a gene that falls to half is found."""
    found = 0
    for _ in range(REPEATS):
        controls, cells = rng.lognormal(0, 0.4, m), rng.lognormal(0, 0.4, n)
        before = draw(rng, controls, mean, dispersion) / controls
        after = draw(rng, cells, mean * KEPT * depth, dispersion) / (cells * depth)
        found += mannwhitneyu(after, before, method="asymptotic").pvalue < P
    return found / REPEATS


@pytest.mark.slow
@pytest.mark.parametrize(("m", "depth"), [(100, 1.0), (1_000, 1.0), (300, 0.5), (300, 1.5)])
def test_the_power_is_that_of_simulated_tests(m: int, depth: float) -> None:
    rng = np.random.default_rng(m)
    depths = rng.lognormal(0, 0.4, 4_000)
    counts = np.stack([draw(rng, depths, *gene) for gene in GENES])
    simulated = np.array([[simulate(rng, n, m, *gene, depth) for n in SIZES] for gene in GENES])
    one_by_one = np.array([compute_power(row[None], depths, SIZES, n_controls=m, depth=depth) for row in counts])
    assert np.abs(one_by_one - simulated).max() < 0.15
    together = compute_power(counts, depths, SIZES, n_controls=m, depth=depth)
    np.testing.assert_allclose(together, simulated.mean(axis=0), atol=0.04)


def test_more_cells_find_more() -> None:
    rng = np.random.default_rng(0)
    depths = rng.lognormal(0, 0.4, 1_000)
    counts = np.stack([draw(rng, depths, 1.0, 0.5)] * 3)
    power = compute_power(counts, depths, [5, 20, 80, 320, 5_000], n_controls=500)
    assert (np.diff(power) > 0).all() and power.min() >= 0 and power.max() <= 1
    assert compute_power(counts, depths, [80], n_controls=50) < compute_power(counts, depths, [80], n_controls=5_000)


def test_a_gene_that_no_cell_has_is_never_found() -> None:
    assert compute_power(np.zeros((2, 100)), np.ones(100), [10, 1_000], n_controls=100).max() == 0
