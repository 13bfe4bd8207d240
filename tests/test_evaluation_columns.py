"""Cells gene by gene: the ranges fit the memory, the columns are those of the file, and bad values are refused."""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import make_counts

from vccapp.data.dataset import open_dataset
from vccapp.errors import DataError
from vccapp.evaluation.columns import VALUE_BYTES, Columns, cut_genes, open_cells
from vccapp.evaluation.kernels import fold_changes, sort_values


@pytest.fixture
def counts(tmp_path: Path) -> ad.AnnData:
    made = make_counts()
    made.write_h5ad(tmp_path / "toy.h5ad")
    return made


def test_columns_are_those_of_the_file(counts: ad.AnnData, tmp_path: Path) -> None:
    cells = open_cells(open_dataset(tmp_path / "toy.h5ad"))
    dense = counts.X.toarray()
    np.testing.assert_array_equal(cells.totals, dense.sum(axis=1))
    np.testing.assert_array_equal(cells.gene_counts, (dense != 0).sum(axis=0))
    assert cells.labels == ("GENE0", "GENE1", "GENE2", "GENE3")
    names = np.array(["non-targeting", *cells.labels])[cells.groups]
    assert (names == counts.obs["target_gene"].to_numpy(str)).all()
    assert cells.sizes.tolist() == [(names == name).sum() for name in ("non-targeting", *cells.labels)]
    columns = cells.read(20, 55)
    for block in columns.blocks():
        part = columns[block]
        for offset in range(len(part.ends) - 1):
            here = slice(part.ends[offset], part.ends[offset + 1])
            column = dense[:, 20 + block.start + offset]
            np.testing.assert_array_equal(part.cells[here], np.flatnonzero(column))
            np.testing.assert_array_equal(part.values[here], column[column != 0])


@given(gene_counts=st.lists(st.integers(0, 50), min_size=1, max_size=40), memory_bytes=st.integers(1, 2000))
def test_ranges_follow_each_other_and_fit(gene_counts: list[int], memory_bytes: int) -> None:
    class Side:
        pass

    side = Side()
    side.gene_counts = np.array(gene_counts)
    ranges = cut_genes([side, side], memory_bytes=memory_bytes)
    assert [gene for first, last in ranges for gene in range(first, last)] == list(range(len(gene_counts)))
    for first, last in ranges:
        assert last == first + 1 or 2 * VALUE_BYTES * sum(gene_counts[first:last]) <= memory_bytes


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
    with pytest.raises(DataError, match=f"{message}.* in the cell of row 17"):
        open_cells(dataset)


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
