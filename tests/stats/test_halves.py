"""Halves of the cells: deltas of both, their correlation, and the reliability that it gives."""

import numpy as np
import pytest
from toy_index import ToyIndex

from vccapp.stats.halves import correct_spearman_brown, correlate_halves, half_deltas

LABELS, GENES = ["A", "B", "C"], [f"G{i}" for i in range(30)]


def test_both_halves_stand_against_all_controls() -> None:
    index = ToyIndex(LABELS, GENES)
    halves = index.array("half_mean").astype(np.float32)
    first, second = half_deltas(index, ["C", "A"], np.array([4, 2]))
    assert first.dtype == np.float32 and first.shape == (2, 2)
    control = index.array("mean")[0]
    assert first == pytest.approx((halves[0, [3, 1]] - control)[:, [4, 2]])
    assert second == pytest.approx((halves[1, [3, 1]] - control)[:, [4, 2]])


def test_rows_correlate_as_numpy_says_and_a_constant_has_none() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 4, 30))
    first[3] = 0
    r = correlate_halves(first, second)
    assert r[:3] == pytest.approx([np.corrcoef(a, b)[0, 1] for a, b in zip(first[:3], second[:3], strict=True)])
    assert np.isnan(r[3])


def test_reliability_of_the_whole_is_more_than_that_of_a_half() -> None:
    found = correct_spearman_brown(np.array([0.5, 1.0, -0.2, np.nan]))
    assert found[:3] == pytest.approx([2 / 3, 1, 0]) and np.isnan(found[3])
