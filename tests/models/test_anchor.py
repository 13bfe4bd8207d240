"""Control-anchored cells reach the wanted mean and stay cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csr_matrix

from vccapp.errors import DataError
from vccapp.models.anchor import FACTOR_RANGE, MAX_VALUE, anchor_cells


def make_cells(n_cells: int = 200, n_genes: int = 300, *, seed: int = 0) -> csr_matrix:
    """log1p counts over five decades; the first gene is zero in every cell."""
    rng = np.random.default_rng(seed)
    rate = rng.lognormal(-1, 2, n_genes)
    rate[0] = 0
    return csr_matrix(np.log1p(rng.poisson(rate * rng.gamma(2, 0.5, (n_cells, n_genes)))).astype(np.float32))


def mean(cells: csr_matrix) -> np.ndarray:
    return np.asarray(cells.mean(axis=0, dtype=np.float64)).ravel()


def test_the_mean_is_reached_and_zeros_stay() -> None:
    controls = make_cells()
    wanted = mean(controls) * np.random.default_rng(1).lognormal(0, 0.5, controls.shape[1])
    anchored = anchor_cells(controls, wanted)
    assert not anchored.missed.any() and not anchored.silent.any()
    np.testing.assert_allclose(mean(anchored.cells), wanted, atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(anchored.cells.indices, controls.indices)
    np.testing.assert_array_equal(anchored.cells.indptr, controls.indptr)
    assert anchored.cells.dtype == np.float32


def test_values_are_scaled_by_one_factor_a_gene() -> None:
    controls = make_cells()
    anchored = anchor_cells(controls, mean(controls) * 1.5)
    expected = np.expm1(controls.toarray().astype(float)) * anchored.factors
    np.testing.assert_allclose(np.expm1(anchored.cells.toarray().astype(float)), expected, rtol=1e-4, atol=1e-5)


def test_without_change_the_cells_are_the_controls() -> None:
    controls = make_cells()
    cells = anchor_cells(controls, mean(controls)).cells
    np.testing.assert_array_equal(cells.data, controls.data)
    assert not np.shares_memory(cells.data, controls.data)


def test_a_gene_wanted_absent_leaves_no_stored_zeros() -> None:
    controls = make_cells()
    wanted = mean(controls)
    wanted[5], wanted[6] = 0, -0.3
    anchored = anchor_cells(controls, wanted)
    assert anchored.cells[:, [5, 6]].nnz == 0
    assert (anchored.cells.data > 0).all()
    assert not anchored.missed.any()


def test_a_gene_that_no_control_cell_has_is_told() -> None:
    controls = make_cells()
    wanted = mean(controls)
    wanted[0] = 0.5
    anchored = anchor_cells(controls, wanted)
    assert np.flatnonzero(anchored.silent).tolist() == [0]
    assert anchored.cells[:, [0]].nnz == 0


def test_what_cannot_be_reached_is_bounded_and_told() -> None:
    controls = csr_matrix(np.array([[1.0, 1.0, 9.0], [0, 1.0, 9.0]], dtype=np.float32))
    anchored = anchor_cells(controls, np.array([12.0, 1e-5, 14.999]))
    np.testing.assert_allclose(anchored.factors[:2], FACTOR_RANGE[::-1])
    assert anchored.missed.tolist() == [True, True, False]
    assert anchored.cells.data.max() < 15
    assert anchored.cells.toarray()[0, 2] == np.float32(MAX_VALUE)


@pytest.mark.parametrize("wanted", [np.ones(3), np.full(300, np.nan)])
def test_means_that_do_not_fit_are_refused(wanted: np.ndarray) -> None:
    with refusal(DataError, "cells_not_scalable"):
        anchor_cells(make_cells(), wanted)


def test_no_cells_are_refused() -> None:
    with refusal(DataError, "cells_not_scalable"):
        anchor_cells(csr_matrix((0, 3), dtype=np.float32), np.ones(3))


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_cells=st.integers(1, 30),
    fold=st.floats(-5, 5),
    spread=st.floats(0, 2),
)
def test_any_wanted_mean_is_reached_or_told(seed: int, n_cells: int, fold: float, spread: float) -> None:
    controls = make_cells(n_cells, 40, seed=seed)
    wanted = mean(controls) * np.exp(np.random.default_rng(seed).normal(fold, spread, 40))
    anchored = anchor_cells(controls, wanted)
    fine = ~(anchored.missed | anchored.silent)
    np.testing.assert_allclose(mean(anchored.cells)[fine], wanted[fine], rtol=1.1e-3, atol=1e-7)
    at_bound = np.isclose(anchored.factors, FACTOR_RANGE[0]) | np.isclose(anchored.factors, FACTOR_RANGE[1])
    capped = np.asarray((anchored.cells >= np.float32(MAX_VALUE)).sum(axis=0)).ravel() > 0
    assert (at_bound | capped)[anchored.missed].all()
    assert anchored.cells.nnz <= controls.nnz and np.isfinite(anchored.cells.data).all()
