"""The compiled loops against scipy, on random and on degenerate genes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from vccapp.stats import kernels


def run(values: np.ndarray, codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.bincount(codes[codes >= 0], minlength=n_groups).astype(np.int64)
    values = values.astype(np.float32)
    u, ties, *_ = kernels.rank_sums(values, np.expm1(values), codes.astype(np.int32), n_groups, sizes, 2)
    return u, kernels.p_values(u, ties, sizes)


def scipy_p(x: np.ndarray, control: np.ndarray) -> float:
    p = mannwhitneyu(x.astype(float), control.astype(float), method="asymptotic").pvalue
    return 1.0 if np.isnan(p) else p


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    n_cells=st.integers(6, 120),
    n_groups=st.integers(2, 5),
    levels=st.integers(1, 8),
    zero_share=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_u_and_p_equal_scipys(n_cells: int, n_groups: int, levels: int, zero_share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, n_cells - n_groups)])
    values = rng.integers(1, levels + 1, (3, n_cells)) / 4
    values[rng.random(values.shape) < zero_share] = 0
    u, p = run(values, codes, n_groups)
    for gene in range(3):
        for k in range(1, n_groups):
            x, control = values[gene, codes == k], values[gene, codes == 0]
            expected = mannwhitneyu(x, control, method="asymptotic")
            assert u[gene, k] == expected.statistic
            np.testing.assert_allclose(p[gene, k], scipy_p(x, control), rtol=1e-9)


@pytest.mark.parametrize("case", ["all zero", "constant", "control zero", "group zero", "continuous", "far apart"])
def test_degenerate_genes_equal_scipys(case: str) -> None:
    rng = np.random.default_rng(1)
    codes = np.repeat([0, 1], [400, 300])
    values = {
        "all zero": np.zeros(700),
        "constant": np.full(700, 2.5),
        "control zero": np.where(codes == 0, 0, rng.integers(0, 3, 700)),
        "group zero": np.where(codes == 1, 0, rng.integers(0, 3, 700)),
        "continuous": rng.gamma(1, 1, 700).astype(np.float32),
        "far apart": np.where(codes == 1, 10, 0) + rng.gamma(1, 1, 700),
    }[case].astype(np.float32)
    _, p = run(values[None], codes, 2)
    np.testing.assert_allclose(p[0, 1], scipy_p(values[codes == 1], values[codes == 0]), rtol=1e-9)


def test_cells_left_out_do_not_count() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(-1, 3, 300)
    values = rng.integers(0, 5, (1, 300)).astype(np.float32)
    u, p = run(values, codes, 3)
    values = values.astype(float)  # scipy works in the precision it is given
    expected = mannwhitneyu(values[0, codes == 2], values[0, codes == 0], method="asymptotic")
    assert u[0, 2] == expected.statistic
    np.testing.assert_allclose(p[0, 2], expected.pvalue, rtol=1e-9)


@given(st.lists(st.floats(2**-40, 2**40, width=32), min_size=1, max_size=200))
def test_radix_sort_sorts_and_carries_its_groups(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    groups = np.arange(len(values), dtype=np.int32)
    keys, order = kernels.sort_by_key(
        values.view(np.uint32).copy(), groups, np.empty(len(values), np.uint32), np.empty_like(groups), len(values)
    )
    np.testing.assert_array_equal(keys.view(np.float32), np.sort(values))
    np.testing.assert_array_equal(order, np.argsort(values, kind="stable"))
