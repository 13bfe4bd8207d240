"""Counts: whole, of the wanted depth, and right in the mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csr_matrix, vstack

from vccapp.errors import SpecError
from vccapp.models.parts.counts import draw_cells, fit_dispersion, ratios_of, thin_cells

GENES = 30


def make_controls(n: int = 600, *, seed: int = 0) -> tuple[csr_matrix, np.ndarray]:
    """Counts of cells of unequal depth, and the genes' mean shares; gene 0 is never expressed."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(GENES, 0.5))
    share[0] = 0
    share /= share.sum()
    counts = rng.poisson(rng.lognormal(6, 0.4, n)[:, None] * share)
    return csr_matrix(counts.astype(np.float32)), share


def blocks_of(cells: csr_matrix) -> list[csr_matrix]:
    return [cells[:250], cells[250:]]


def expected_shares(share: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    return share * ratios / (share * ratios).sum()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.floats(0, 1.5), depth=st.sampled_from([None, 100.0, 1500.0]))
def test_thinned_cells_are_whole_of_the_depth_and_right_in_the_mean(
    seed: int, spread: float, depth: float | None
) -> None:
    controls, share = make_controls(seed=seed)
    ratios = np.random.default_rng(seed).lognormal(0, spread, GENES)
    cells = vstack(list(thin_cells(blocks_of(controls), ratios, share=share, depth=depth, seed=seed)))
    assert cells.shape == controls.shape and cells.dtype == np.float32
    assert (cells.data == np.round(cells.data)).all() and (cells.data > 0).all()
    before, totals = np.asarray(controls.sum(1)).ravel(), np.asarray(cells.sum(1)).ravel()
    first = before[:250]
    scale = 1 if depth is None else depth / np.median(first[first > 0])
    # The realised shares of these controls, which thinning keeps, differ a little from their expectation.
    mean = np.asarray(cells.sum(0)).ravel()
    wanted = scale * before.sum() * expected_shares(share, ratios)
    assert np.abs(mean - wanted).max() < 6 * np.sqrt(wanted.max() * (1 + scale)) + 0.02 * wanted.max()
    assert abs(totals.sum() / (scale * before.sum()) - 1) < 0.05
    assert np.corrcoef(before, totals)[0, 1] > 0.5


def test_nothing_changes_where_nothing_is_asked() -> None:
    controls, share = make_controls()
    cells = vstack(list(thin_cells(blocks_of(controls), np.ones(GENES), share=share, depth=None, seed=0)))
    assert (cells != controls).nnz == 0


def test_a_silenced_gene_is_silent_and_a_risen_one_is_switched_on() -> None:
    controls, share = make_controls()
    down, up = int(np.argsort(share)[-1]), int(np.argsort(share)[5])
    ratios = np.ones(GENES)
    ratios[down], ratios[up] = 0, 50
    cells = vstack(list(thin_cells(blocks_of(controls), ratios, share=share, depth=None, seed=0)))
    assert cells[:, down].nnz == 0
    lacking = np.asarray(controls[:, up].todense()).ravel() == 0
    assert lacking.any() and cells[lacking][:, up].nnz > 0.3 * lacking.sum()
    assert cells[:, 0].nnz == 0  # the controls never express it


def test_the_same_seed_gives_the_same_cells() -> None:
    controls, share = make_controls()
    ratios = np.linspace(0.5, 2, GENES)

    def make(seed: int) -> np.ndarray:
        return vstack(list(thin_cells(blocks_of(controls), ratios, share=share, depth=300, seed=seed))).toarray()

    np.testing.assert_array_equal(make(1), make(1))
    assert (make(1) != make(2)).any()


def test_what_cannot_be_made_is_told() -> None:
    controls, share = make_controls()
    for wrong in (np.full(GENES, -1.0), np.full(GENES, np.nan), np.ones(GENES - 1)):
        with refusal(SpecError, "bad_ratios"):
            next(thin_cells([controls], wrong, share=share, depth=None, seed=0))
    with refusal(SpecError, "needs_counts"):
        next(thin_cells([controls * 0.5], np.ones(GENES), share=share, depth=None, seed=0))


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_drawn_cells_have_the_mean_and_the_variance(dispersion: float) -> None:
    _, share = make_controls()
    depths = np.full(20_000, 800.0)
    cells = vstack(list(draw_cells(3 * share, depths, dispersion=np.full(GENES, dispersion), seed=0))).toarray()
    mean = 800 * share
    error = np.sqrt((mean + dispersion * mean**2) / len(depths))
    assert (np.abs(cells.mean(0) - mean) <= 5 * error + 1e-12).all()
    np.testing.assert_allclose(cells.var(0), mean + dispersion * mean**2, rtol=0.1)
    assert (cells == np.round(cells)).all() and not cells[:, 0].any()


def test_the_dispersion_of_drawn_cells_is_found_again() -> None:
    _, share = make_controls()
    depths = np.random.default_rng(0).lognormal(7, 0.4, 20_000)
    for dispersion in (0.0, 0.4):
        blocks = list(draw_cells(share, depths, dispersion=np.full(GENES, dispersion), seed=0))
        found = fit_dispersion(blocks, share)
        assert abs(np.median(found[share > 0.005]) - dispersion) < 0.05


@given(st.lists(st.floats(0, 5), min_size=3, max_size=3), st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_ratios_are_finite_and_undo_the_logarithm(mean: list[float], delta: list[float]) -> None:
    mean, delta = np.array(mean), np.array(delta)
    ratios = ratios_of(mean, delta)
    assert np.isfinite(ratios).all() and (ratios >= 0).all() and (ratios <= 1e3).all()
    plain = (mean > 0.01) & (ratios < 1e3)
    np.testing.assert_allclose(np.log1p(ratios * np.expm1(mean))[plain], np.maximum(mean + delta, 0)[plain], atol=1e-9)
