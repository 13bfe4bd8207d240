"""Cells gene by gene: the ranges fit the memory, the columns are those of the file, and bad values are refused."""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError
from vccapp.evaluation.scoring.columns import Columns, Pool, map_blocks, open_cells, pool_cells
from vccapp.evaluation.scoring.kernels import fold_changes, leave_near_out, leave_out, sort_values


@pytest.fixture
def counts(tmp_path: Path) -> ad.AnnData:
    made = make_counts()
    made.write_h5ad(tmp_path / "toy.h5ad")
    return made


def test_columns_are_those_of_the_file(counts: ad.AnnData, tmp_path: Path) -> None:
    cells = open_cells(open_dataset(tmp_path / "toy.h5ad"))
    dense = counts.X.toarray()
    np.testing.assert_array_equal(cells.totals, dense.sum(axis=1))
    is_control = (counts.obs["target_gene"] == "non-targeting").to_numpy()
    expected = [(dense[rows] != 0).sum(axis=0) for rows in (is_control, ~is_control)]
    np.testing.assert_array_equal(cells.gene_counts, expected)
    assert cells.labels == ("GENE0", "GENE1", "GENE2", "GENE3") and cells.largest == 400
    names = np.array(["non-targeting", *cells.labels])[cells.groups]
    assert (names == counts.obs["target_gene"].to_numpy(str)).all()
    assert cells.sizes.tolist() == [(names == name).sum() for name in ("non-targeting", *cells.labels)]
    check(pool_cells(cells).read(20, 55), dense[:, 20:55])


def test_of_a_second_file_the_controls_are_left_out(counts: ad.AnnData, tmp_path: Path) -> None:
    other = make_counts(200, seed=5)
    other.write_h5ad(tmp_path / "other.h5ad")
    pool = pool_cells(*(open_cells(open_dataset(tmp_path / f"{name}.h5ad")) for name in ("toy", "other")))
    dense = np.concatenate([counts.X.toarray(), other.X.toarray()])
    left_out = np.arange(500) >= 300
    left_out &= np.concatenate([counts.obs["target_gene"], other.obs["target_gene"]]) == "non-targeting"
    np.testing.assert_array_equal(pool.groups < 0, left_out)
    assert pool.sizes.tolist() == np.bincount(pool.groups[~left_out]).tolist() and len(pool.sizes) == 9
    np.testing.assert_array_equal(pool.totals, dense.sum(axis=1))
    dense[left_out] = 0
    np.testing.assert_array_equal(pool.gene_counts, (dense != 0).sum(axis=0))
    check(pool.read(0, 60), dense)


@pytest.mark.parametrize(("most", "expected"), [(2**16 - 1, np.uint16), (2**16, np.float32)])
def test_large_counts_are_kept(most: int, expected: type, counts: ad.AnnData, tmp_path: Path) -> None:
    counts.X.data[7] = most
    counts.write_h5ad(tmp_path / "large.h5ad")
    columns = pool_cells(open_cells(open_dataset(tmp_path / "large.h5ad"))).read(0, 60)
    assert columns.values.dtype == expected
    check(columns, counts.X.toarray())


def check(columns: Columns, dense: np.ndarray) -> None:
    """The columns are those of (cells, genes), also when cut into blocks."""
    seen = []
    for genes, part in map_blocks(columns, lambda genes, part: part, first=0):
        seen += range(genes.start, genes.stop)
        for offset in range(len(part.ends) - 1):
            here = slice(part.ends[offset], part.ends[offset + 1])
            column = dense[:, genes.start + offset]
            np.testing.assert_array_equal(part.cells[here], np.flatnonzero(column))
            np.testing.assert_array_equal(part.values[here], column[column != 0])
    assert seen == list(range(dense.shape[1]))


@settings(deadline=None)
@given(
    gene_counts=st.lists(st.integers(0, 50), min_size=1, max_size=40),
    n_cells=st.sampled_from([9, 2**16, 2**16 + 1]),
    memory_bytes=st.integers(1, 2000),
)
def test_ranges_follow_each_other_and_fit(gene_counts: list[int], n_cells: int, memory_bytes: int) -> None:
    pool = Pool((), np.zeros(n_cells), np.array([n_cells]), np.zeros(0), np.array(gene_counts), np.dtype(np.float32))
    size = 4 + (4 if n_cells > 2**16 else 2)
    ranges = pool.cut(memory_bytes=memory_bytes)
    assert [gene for first, last in ranges for gene in range(first, last)] == list(range(len(gene_counts)))
    for first, last in ranges:
        assert last == first + 1 or size * sum(gene_counts[first:last]) <= memory_bytes


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=8))
def test_blocks_cover_every_gene_once(sizes: list[int]) -> None:
    ends = np.concatenate([[0], np.cumsum(sizes)])
    blocks = list(Columns(np.zeros(0), np.zeros(0), ends).blocks())
    assert [gene for block in blocks for gene in range(block.start, block.stop)] == list(range(len(sizes)))


@pytest.mark.parametrize(("value", "message"), [(-1, "negative values"), (np.nan, "NaN"), (0.5, "fractions")])
def test_values_that_cannot_be_are_refused(value: float, message: str, counts: ad.AnnData, tmp_path: Path) -> None:
    dataset = open_dataset(tmp_path / "toy.h5ad")  # which looks at samples only
    with h5py.File(tmp_path / "toy.h5ad", "r+") as file:
        file["X/data"][file["X/indptr"][17]] = value
    with refusal(DataError, "bad_values"):
        open_cells(dataset)


@settings(deadline=None)
@given(
    values=st.lists(st.floats(1e-6, 1e6), max_size=60),
    n_near=st.integers(0, 200),
    seed=st.integers(0, 9),
)
def test_values_are_sorted_also_where_they_differ_only_beyond_float32(
    values: list[float], n_near: int, seed: int
) -> None:
    near = 1 + np.random.default_rng(seed).integers(0, 50, n_near) * 2.0**-50
    every = np.random.default_rng(seed).permutation(np.concatenate([values, near]))
    order = sort_values(every)
    np.testing.assert_array_equal(every[order], np.sort(every))
    assert sorted(order.tolist()) == list(range(len(every)))


def test_fold_changes_of_nothing() -> None:
    means = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(fold_changes(means), [[0, 0, np.inf], [0, -np.inf, 0]])


@settings(deadline=None)
@given(
    n_cells=st.integers(2, 60),
    rate=st.sampled_from([0.02, 1.0, 30.0]),
    seed=st.integers(0, 99),
    alone=st.booleans(),
)
def test_leaving_out_cells_by_the_series_is_leaving_out_cells(
    n_cells: int, rate: float, seed: int, *, alone: bool
) -> None:
    """Equal to the definition, or told to be wrong, which it must be where one cell has all counts."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate, n_cells).astype(float)
    counts[0] += 1
    totals = counts + rng.poisson(5000, n_cells)
    if alone:
        counts[1:], totals[1:] = 0, 0
    whole, pooled = totals.sum(), counts.sum()
    shares = [np.delete(counts, i).sum() / max(np.delete(totals, i).sum(), 1) for i in range(n_cells)]
    expected = np.var(np.log1p(5e4 * np.array(shares))) * n_cells
    near = {"rel": 1e-9, "abs": 1e-13}
    assert leave_out(counts, totals, pooled, whole, 5e4) == pytest.approx(expected, **near)
    with np.errstate(divide="ignore"):
        found, n_far = leave_near_out(counts, totals / (whole - totals), pooled, whole, 5e4)
    assert n_far if alone else n_far or found == pytest.approx(expected, **near)


def test_the_series_is_used_where_cells_are_many() -> None:
    totals = np.full(200, 20_000.0)
    _, n_far = leave_near_out(np.ones(200), totals / (200 * 20_000 - totals), 200.0, 200 * 20_000.0, 5e4)
    assert n_far == 0
