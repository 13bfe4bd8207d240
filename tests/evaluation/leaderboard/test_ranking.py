"""The leaderboard's statistics equal those of scipy and statsmodels, and its order is an order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from vccapp.evaluation.leaderboard.ranking import (
    COMPARABLE,
    explain_differences,
    group_seeds,
    rank_groups,
    scale,
    summarise_groups,
)
from vccapp.evaluation.leaderboard.significance import EXACT, adjust_holm, compare_groups, flip_signs, mean_over_seeds

SAME = {
    "dataset": "d",
    "split": "s",
    "split_key": "k",
    "part": "test",
    "scorer": "vccapp",
    "version": "1",
    "definition": "1",
    "settings": "{}",
    "panel": "p",
    "n_perturbations": 3,
}
numbers = st.floats(-1e3, 1e3, allow_nan=False, width=32)


def entries(*rows: dict) -> pd.DataFrame:
    base = {"model": "m", "params": "{}", "seed": 0}
    return pd.DataFrame([base | {"run": f"r{i}", "created": i} | SAME | row for i, row in enumerate(rows)])


def mean_difference(differences: np.ndarray, axis: int) -> np.ndarray:
    return differences.mean(axis=axis)


@pytest.mark.parametrize("n", [2, 5, 8])
@pytest.mark.parametrize("decimals", [1, 8])
def test_few_pairs_have_the_exact_p_of_scipy(n: int, decimals: int) -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.3, 1, n).round(decimals)
        expected = stats.permutation_test(
            (values,), mean_difference, permutation_type="samples", n_resamples=np.inf, vectorized=True
        ).pvalue
        assert flip_signs(values, 0) == pytest.approx(expected, abs=1e-12)


def test_many_pairs_have_about_the_p_of_scipy_and_the_same_each_time() -> None:
    for seed, shift in ((1, 0.0), (2, 0.15), (3, 0.3)):
        values = np.random.default_rng(seed).normal(shift, 1, 60)
        expected = stats.permutation_test(
            (values,), mean_difference, permutation_type="samples", n_resamples=20_000, vectorized=True, rng=seed
        ).pvalue
        assert flip_signs(values, 0) == pytest.approx(expected, abs=4 * np.sqrt(expected / 1e4) + 2e-4)
        assert flip_signs(values, 0) == flip_signs(values, 0)


def test_differences_of_zero_change_nothing() -> None:
    values = np.array([0.2, 0.4, -0.1, 0.3])
    assert flip_signs(np.concatenate([values, np.zeros(40)]), 0) == flip_signs(values, 0)
    assert flip_signs(np.zeros(5), 0) == 1


def test_the_smallest_p_of_drawn_signs_is_not_zero() -> None:
    assert flip_signs(np.ones(EXACT + 1), 0, draws=500) == 1 / 501
    assert flip_signs(np.ones(EXACT), 0) == 2 / 2**EXACT


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=25)
@pytest.mark.slow
def test_holm_equals_statsmodels(p: list[float]) -> None:
    np.testing.assert_allclose(adjust_holm(np.array(p)), multipletests(p, method="holm")[1], atol=1e-12)
    with_gap = np.array([*p[:1], np.nan, *p[1:]])
    np.testing.assert_allclose(np.delete(adjust_holm(with_gap), 1), adjust_holm(np.array(p)))


def test_the_comparison_is_paired_and_its_interval_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 5, 80)  # what both share, so that only pairing sees the difference
    scores = pd.DataFrame({"a": hard, "b": hard + rng.normal(0.2, 0.3, 80), "c": hard + rng.normal(0, 0.3, 80)})
    scores.loc[[3, 7], "b"] = np.nan
    found = compare_groups(scores, "a").set_index("group")
    assert list(found.index) == ["b", "c"]
    assert found.loc["b", "n"] == 78 and found.loc["c", "n"] == 80
    pairs = (scores["b"] - scores["a"]).dropna().to_numpy()
    assert found.loc["b", "difference"] == pytest.approx(pairs.mean())
    expected = stats.bootstrap((pairs,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert found.loc["b", "low"] == pytest.approx(expected.low, abs=0.01)
    assert found.loc["b", "high"] == pytest.approx(expected.high, abs=0.01)
    assert found.loc["b", "p_holm"] < 0.01 < found.loc["c", "p"]
    assert stats.wilcoxon(pairs).pvalue < 0.01
    assert stats.ttest_ind(scores["b"].dropna(), scores["a"]).pvalue > 0.1


def test_no_common_perturbations_give_no_p() -> None:
    scores = pd.DataFrame({"a": [1.0, np.nan], "b": [np.nan, 2.0]})
    [row] = compare_groups(scores, "a").to_dict("records")
    assert row["n"] == 0 and np.isnan(row["p"]) and np.isnan(row["p_holm"])
    assert compare_groups(scores[["a"]], "a").empty


@given(st.lists(numbers, min_size=1, max_size=20), st.sampled_from(["high", "low"]))
@settings(max_examples=60)
def test_ranks_are_those_of_the_sorted_scores(values: list[float], best: str) -> None:
    ranks = rank_groups(pd.Series(values), best=best)
    better = np.greater if best == "high" else np.less
    for i, value in enumerate(values):
        assert ranks[i] == 1 + sum(better(other, value) for other in values)


@given(numbers, numbers, numbers)
def test_the_scale_has_its_ends_and_keeps_the_order(value: float, floor: float, ceiling: float) -> None:
    best = "high" if ceiling > floor else "low"
    ends = pd.Series([floor, ceiling, value])
    scaled = scale(ends, pd.Series([floor] * 3), pd.Series([ceiling] * 3), best=best)
    if floor == ceiling:
        assert scaled.isna().all()
        return
    assert scaled[0] == 0 and scaled[1] == pytest.approx(1)
    if scaled[2] > 1e-9:
        assert (value > floor) == (best == "high")
    other = "low" if best == "high" else "high"
    assert scale(ends, pd.Series([floor] * 3), pd.Series([ceiling] * 3), best=other).isna().all()


def test_seeds_are_grouped_and_the_same_seed_counts_once() -> None:
    grouped = group_seeds(
        entries({"seed": 0}, {"seed": 1}, {"seed": 0}, {"params": '{"k": 2}'}, {"split_key": "t"}, {"definition": "2"})
    )
    assert grouped.set_index("run")["group"].to_dict() == {"r1": "r0", "r2": "r0", "r3": "r3", "r4": "r4", "r5": "r5"}


@pytest.mark.parametrize("name", COMPARABLE)
def test_nothing_that_differs_is_mixed(name: str) -> None:
    grouped = group_seeds(entries({"seed": 0}, {"seed": 1, name: "another"}))
    assert grouped["group"].tolist() == ["r0", "r1"]
    assert explain_differences(grouped, "r0").to_dict() == {"r0": "", "r1": COMPARABLE[name]}


def test_another_number_of_perturbations_is_told() -> None:
    grouped = group_seeds(entries({}, {"panel": "q", "n_perturbations": 30, "split_key": "t"}))
    assert explain_differences(grouped, "r0")["r1"] == "other split, 30 perturbations, not 3"


def test_means_and_spread_are_over_seeds() -> None:
    grouped = group_seeds(entries({"seed": 0}, {"seed": 1}, {"seed": 2}, {"model": "n"}))
    values = pd.DataFrame(
        {"run": ["r0", "r1", "r2", "r3", "r9"], "metric": "mae", "value": [1.0, 2.0, np.nan, 5.0, 9.0]}
    )
    found = summarise_groups(grouped, values).set_index("group")
    assert found.loc["r0", ["mean", "sd", "seeds"]].tolist() == [1.5, pytest.approx(np.std([1, 2], ddof=1)), 2]
    assert found.loc["r3", "mean"] == 5 and np.isnan(found.loc["r3", "sd"])
    assert set(found.index) == {"r0", "r3"}


def test_scores_of_a_perturbation_are_averaged_over_seeds() -> None:
    grouped = group_seeds(entries({"seed": 0}, {"seed": 1}, {"model": "n"}))
    tables = {
        "r0": pd.DataFrame({"perturbation": ["A", "B"], "mae": [1.0, np.nan]}),
        "r1": pd.DataFrame({"perturbation": ["B", "A"], "mae": [4.0, 3.0]}),
        "r2": pd.DataFrame({"perturbation": ["A", "B"], "des": [0.0, 0.0]}),
    }
    found = mean_over_seeds(grouped, tables, "mae")
    assert found.to_dict() == {"r0": {"A": 2.0, "B": 4.0}}
