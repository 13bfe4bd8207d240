"""Counts: whole, of the wanted depth, and right in mean, variance and zeros."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csr_matrix
from scipy.stats import nbinom

from vccapp.errors import SpecError
from vccapp.models.parts.counts import (
    DISPERSIONS,
    LOG_RATES,
    Counts,
    Profile,
    Stream,
    Thinning,
    draw_cells,
    mean_logs,
    measure_controls,
    sign_cells,
    thin_cells,
)

GENES, CELLS = 40, 4000


def make_controls(seed: int = 0, *, dispersion: float = 0.3) -> tuple[csr_matrix, np.ndarray]:
    """Negative binomial counts of cells of unequal depth, and the genes' shares; gene 0 is never expressed."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(GENES, 0.8))
    share[0] = 0
    share /= share.sum()
    depths = rng.lognormal(6, 0.3, CELLS)
    rates = rng.gamma(1 / dispersion, dispersion, (CELLS, GENES)) if dispersion else 1
    return csr_matrix(rng.poisson(depths[:, None] * share * rates).astype(np.float32)), share


def as_counts(cells: csr_matrix, *, used: bool = False) -> Counts:
    arrays = cells.data.astype(np.uint16), cells.indices, cells.indptr.astype(np.int64)
    totals = np.asarray(cells.sum(axis=1), np.float64).ravel()
    return Counts(*arrays, totals, np.arange(cells.shape[0]), np.full(cells.shape[0], used), cells.shape[1])


def stream(n: int = CELLS, *, seed: int = 0, label: str = "A") -> Stream:
    return Stream(seed, label, np.arange(n))


def moments(cells: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and share of cells with the gene, of each gene."""
    x = cells.toarray()
    return x.mean(axis=0), x.var(axis=0), (x > 0).mean(axis=0)


def total(cells: csr_matrix) -> np.ndarray:
    return np.asarray(cells.sum(axis=1)).ravel()


def errors(cells: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of the mean and of the variance of each gene, from the cells themselves."""
    x = cells.toarray().astype(np.float64)
    apart = (x - x.mean(axis=0)) ** 2
    return x.std(axis=0) / np.sqrt(len(x)), apart.std(axis=0) / np.sqrt(len(x))


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.3, 0.8, 1.0, 1.4, 2.5]),
    dispersion=st.sampled_from([0.0, 0.1, 0.4]),
    used=st.booleans(),
    method=st.sampled_from(["thin", "negative_binomial"]),
)
def test_cells_of_another_depth_are_as_real_ones_of_that_depth(seed, scale, dispersion, used, method):
    """The target: x ~ negative binomial around depth * share, so a deeper cell's moments are known from this one's."""
    controls, _ = make_controls(seed, dispersion=dispersion)
    profile = measure_controls([controls[:1500], controls[1500:]])
    if method == "thin":
        thinning = Thinning.plan(profile, profile.share, scale=scale)
        cells = thin_cells(as_counts(controls, used=used), thinning, stream=stream(seed=seed))
    else:
        cells = draw_cells(total(controls) * scale, profile.share, profile.dispersion, stream=stream(seed=seed))
    assert cells.shape == controls.shape and cells.dtype == np.float32 and cells.has_canonical_format
    assert (cells.data == np.round(cells.data)).all() and (cells.data > 0).all()
    (mean, variance, _), (made, spread, _) = moments(controls), moments(cells)
    wanted = scale * mean
    of_mean, of_variance = errors(cells)
    of_control, of_control_variance = errors(controls)
    # Both are samples: of the same cells where they are thinned, of others where they are drawn.
    assert (np.abs(made - wanted) <= 6 * (of_mean + scale * of_control) + 1e-9).all()
    target = wanted + scale**2 * (variance - mean)
    error = of_variance + max(scale, scale**2) * of_control_variance + of_control
    assert (np.abs(spread - target) <= 6 * error + 0.03 * target + 1e-9).all()
    before, after = total(controls), total(cells)
    assert after.sum() == pytest.approx(scale * before.sum(), rel=0.02)
    assert np.median(after) == pytest.approx(scale * np.median(before), rel=0.03)
    extra = 0 if method == "thin" else dispersion * (profile.share**2).sum()  # genes vary on their own
    assert after.std() / after.mean() == pytest.approx(before.std() / before.mean(), abs=0.03 + extra)


@pytest.mark.parametrize("method", ["thin", "negative_binomial"])
@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_the_zeros_are_those_of_real_cells_of_the_depth(method, scale):
    """Real ones: the same cells observed at the other depth."""
    rng = np.random.default_rng(3)
    share = rng.dirichlet(np.full(GENES, 0.8))
    rates = rng.lognormal(5, 0.3, CELLS)[:, None] * share * rng.gamma(4, 0.25, (CELLS, GENES))
    controls, real = (csr_matrix(rng.poisson(rates * by).astype(np.float32)) for by in (1, scale))
    profile = measure_controls([controls])
    if method == "thin":
        made = thin_cells(as_counts(controls), Thinning.plan(profile, profile.share, scale=scale), stream=stream())
    else:
        made = draw_cells(total(controls) * scale, profile.share, profile.dispersion, stream=stream())
    found, wanted = moments(made)[2], moments(real)[2]
    error = np.sqrt(wanted * (1 - wanted) / CELLS)
    assert (np.abs(found - wanted) <= 6 * error + 0.01).all()


def test_nothing_changes_where_nothing_is_asked():
    controls, _ = make_controls()
    profile = measure_controls([controls])
    mean = np.log1p(controls.toarray()).mean(axis=0)
    share = profile.shares(mean, np.zeros(GENES), target_sum=400)
    np.testing.assert_array_equal(share, profile.share)
    cells = thin_cells(as_counts(controls), Thinning.plan(profile, share, scale=1), stream=stream())
    assert (cells != controls).nnz == 0


def test_a_cell_used_again_is_another_of_the_same_kind():
    controls, _ = make_controls()
    profile = measure_controls([controls])
    thinning = Thinning.plan(profile, profile.share, scale=1)
    first, second = (thin_cells(as_counts(controls, used=True), thinning, stream=stream(seed=i)) for i in (1, 2))
    for one, other in ((controls, first), (controls, second), (first, second)):
        assert (sign_cells(one) != sign_cells(other)).mean() > 0.99
    np.testing.assert_allclose(moments(first)[1][1:], moments(controls)[1][1:], rtol=0.15)


def test_predicted_means_of_log_values_are_met():
    """Deltas of half the genes, in log1p of cells brought to the median depth, come out of the cells made."""
    controls, _ = make_controls(dispersion=0.2)
    depth = float(np.median(total(controls)))

    def logs(cells: csr_matrix) -> np.ndarray:
        return np.log1p(cells.toarray() * (depth / total(cells))[:, None]).mean(axis=0)

    profile, before = measure_controls([controls]), logs(controls)
    rng = np.random.default_rng(0)
    up = np.flatnonzero(before > 0.3)[::2]
    truth = profile.share.copy()
    truth[up] *= rng.uniform(0.3, 2.5, len(up))
    depths = total(controls)
    real = logs(draw_cells(depths, truth, profile.dispersion, stream=stream(label="real")))
    share = profile.shares(before, real - before, target_sum=depth)
    np.testing.assert_allclose(share[up] / share.sum(), truth[up] / truth.sum(), rtol=0.08)
    thinned = thin_cells(as_counts(controls), Thinning.plan(profile, share, scale=1), stream=stream())
    drawn = draw_cells(depths, share, profile.dispersion, stream=stream())
    for cells in (thinned, drawn):
        np.testing.assert_allclose(logs(cells), real, atol=0.05)


def test_a_silenced_gene_is_silent_and_an_absent_one_is_switched_on():
    controls, share = make_controls()
    profile = measure_controls([controls])
    mean = np.log1p(controls.toarray()).mean(axis=0)
    down, delta = int(np.argmax(share)), np.zeros(GENES)
    delta[down], delta[0] = -99, np.log1p(3)
    wanted = profile.shares(mean, delta, target_sum=400)
    cells = thin_cells(as_counts(controls), Thinning.plan(profile, wanted, scale=1), stream=stream())
    assert cells[:, down].nnz == 0
    assert 2 < cells[:, 0].mean() * wanted.sum() < 5


def test_the_dispersion_is_found_again():
    for dispersion in (0.0, 0.2, 0.6):
        controls, share = make_controls(dispersion=dispersion)
        found = measure_controls([controls]).dispersion
        assert abs(np.median(found[share > 0.01]) - dispersion) < 0.05


def test_mean_logs_are_those_of_the_distribution():
    table, k = mean_logs(), np.arange(20_000)
    for i, j in ((250, 0), (300, 12), (330, 25)):
        rate, dispersion = np.exp(LOG_RATES[i]), max(DISPERSIONS[j], 1e-9)
        chance = nbinom.pmf(k, 1 / dispersion, 1 / (1 + dispersion * rate))
        assert table[i, j] == pytest.approx(float(chance @ np.log1p(k)), rel=2e-3)
    assert (np.diff(table, axis=0) > 0).all()


def test_bytes_depend_on_seed_label_and_number_alone():
    controls, _ = make_controls()
    profile = measure_controls([controls])
    share = profile.share * np.linspace(0.5, 2, GENES)
    thinning = Thinning.plan(profile, share, scale=1.2)
    counts = as_counts(controls)

    def part(first: int, last: int, *, seed: int = 0, label: str = "A") -> csr_matrix:
        some = Counts(
            *(counts.data, counts.indices, counts.ends, counts.totals),
            *(counts.rows[first:last], counts.used[first:last], GENES),
        )
        own = Stream(seed, label, np.arange(first, last))
        return thin_cells(some, thinning, stream=own), draw_cells(
            counts.totals[first:last], share, profile.dispersion, stream=own
        )

    for whole, half, other, named in zip(
        part(0, 200), part(100, 200), part(0, 200, seed=1), part(0, 200, label="B"), strict=True
    ):
        assert (whole[100:] != half).nnz == 0
        assert (whole != other).nnz > 0 and (whole != named).nnz > 0


def test_what_cannot_be_made_is_told():
    controls, share = make_controls()
    profile = measure_controls([controls])
    for wrong in (np.full(GENES, -1.0), np.full(GENES, np.nan), np.zeros(GENES)):
        with refusal(SpecError, "bad_ratios"):
            Thinning.plan(profile, wrong, scale=1)
    with refusal(SpecError, "needs_counts"):
        measure_controls([controls * 0.5])
    with refusal(SpecError, "empty_controls"):
        measure_controls([csr_matrix((3, GENES), dtype=np.float32)])


@given(
    mean=st.lists(st.floats(0, 6), min_size=4, max_size=4),
    delta=st.lists(st.floats(-6, 6), min_size=4, max_size=4),
    dispersion=st.floats(0, 5),
)
def test_shares_are_finite_and_rise_with_the_prediction(mean, delta, dispersion):
    profile = Profile(np.array([0.1, 0.2, 0.3, 0.4]), np.full(4, dispersion), 500.0, 100)
    share = profile.shares(np.array(mean), np.array(delta), target_sum=500)
    assert np.isfinite(share).all() and (share >= 0).all()
    change = np.array(delta)
    up, down = (change > 0.01) & (np.array(mean) > 0.01), change < -0.01
    assert (share[up] > profile.share[up]).all() and (share[down] <= profile.share[down]).all()
