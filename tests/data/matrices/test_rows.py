"""Row blocks equal scipy's rows, whatever the layout, the file format, the compression and the block size."""

import pickle
import tempfile
from itertools import pairwise
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
import zarr
from anndata.io import write_elem
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csc_matrix, csr_matrix, random_array

from vccapp.data.matrices import rows as rows_module
from vccapp.data.matrices.rows import CsrRows, Rows, cut, spread
from vccapp.data.reading.matrix import open_rows
from vccapp.errors import DataError

MAKE = {"csr": csr_matrix, "csc": csc_matrix, "dense": np.asarray}
STORES = ["plain.h5ad", "gzip.h5ad", "lzf.h5ad", "v2.zarr", "v3.zarr"]
TYPES = ["float32", "float64", "int32", "int64", "uint16", "bool"]


def write(path: Path, x: np.ndarray, layout: str) -> None:
    """Write X as anndata does, in the way that the file's name tells."""
    data = MAKE[layout](x)
    kind = path.stem
    if path.suffix == ".zarr":
        write_elem(zarr.open_group(path, mode="w", zarr_format=int(kind[1])), "X", data)
    else:
        options = {} if kind == "plain" else {"compression": kind}
        if kind != "plain" and x.size:
            options["chunks"] = (1, x.shape[1]) if layout == "dense" else None
        with h5py.File(path, "w") as file:
            write_elem(file, "X", data, dataset_kwargs={k: v for k, v in options.items() if v is not None})


def make_matrix(n: int, m: int, density: float, dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = random_array((n, m), density=density, rng=rng, data_sampler=lambda size: rng.integers(1, 9, size)).toarray()
    return x.astype(dtype)


@pytest.mark.slow
@given(
    n=st.integers(1, 30),
    m=st.integers(1, 12),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    dtype=st.sampled_from(TYPES),
    layout=st.sampled_from(list(MAKE)),
    store=st.sampled_from(STORES),
    max_values=st.integers(1, 80),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
@hypothesis_settings(max_examples=120, deadline=None)
def test_rows_equal_scipy(n, m, density, dtype, layout, store, max_values, seed, data) -> None:
    x = make_matrix(n, m, density, dtype, seed)
    asked = data.draw(st.lists(st.integers(0, n - 1), max_size=2 * n))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / store
        write(path, x, layout)
        rows = open_rows(path)
        assert (rows.layout, rows.shape) == (layout, (n, m))
        blocks = list(rows.iter_rows(max_values))
        picked = rows.read_rows(asked, max_values=max_values)
        parts = list(rows.iter_values(max_values))
    starts = [start for start, _ in blocks]
    assert starts == np.cumsum([0, *(block.shape[0] for _, block in blocks)])[:-1].tolist()
    np.testing.assert_array_equal(np.vstack([block.toarray() for _, block in blocks]), x.astype(np.float32))
    np.testing.assert_array_equal(picked.toarray(), x[asked].astype(np.float32))
    assert [start for start, *_ in parts] == starts
    totals = [values[first:last].sum() for _, values, ends in parts for first, last in pairwise(ends.tolist())]
    np.testing.assert_array_equal(totals, x.sum(axis=1, dtype=np.float32))
    for block in [picked, *(block for _, block in blocks)]:
        assert isinstance(block, csr_matrix)
        assert block.dtype == np.float32
        assert block.has_canonical_format
        assert np.count_nonzero(block.data) == block.nnz
    assert all(block.nnz <= max_values or block.shape[0] == 1 for _, block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_blocks_are_made_canonical(layout: str, tmp_path: Path) -> None:
    """Unsorted indices, duplicates and explicit zeros: what hand-written files hold."""
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        x = file.create_group("X")
        x.attrs.update({"encoding-type": f"{layout}_matrix", "shape": (2, 4) if layout == "csr" else (4, 2)})
        x["data"], x["indices"], x["indptr"] = [1.0, 2.0, 3.0, 0.0, 5.0], [3, 0, 3, 1, 2], np.array([0, 3, 5], "int64")
    expected = np.array([[2, 0, 0, 4], [0, 0, 5, 0]], np.float32)
    rows = open_rows(tmp_path / "x.h5ad")
    (_, block), *_ = rows.iter_rows(100)
    np.testing.assert_array_equal(block.toarray(), expected if layout == "csr" else expected.T)
    assert block.has_canonical_format
    assert block.nnz == 3


@pytest.mark.parametrize("layout", list(MAKE))
def test_an_old_file_without_encoding(layout: str, tmp_path: Path) -> None:
    x = make_matrix(7, 5, 0.5, "float32", 1)
    write(tmp_path / "plain.h5ad", x, layout)
    with h5py.File(tmp_path / "plain.h5ad", "r+") as file:
        attrs = dict(file["X"].attrs)
        for key in attrs:
            del file["X"].attrs[key]
        if layout != "dense":
            file["X"].attrs.update({"h5sparse_format": layout, "h5sparse_shape": attrs["shape"]})
    np.testing.assert_array_equal(open_rows(tmp_path / "plain.h5ad").read_rows(range(7)).toarray(), x)


@pytest.mark.parametrize("layout", list(MAKE))
@pytest.mark.parametrize("wrong", [[-1], [3, 7]])
def test_rows_outside_of_x(layout: str, wrong: list[int], tmp_path: Path) -> None:
    write(tmp_path / "plain.h5ad", np.ones((7, 5)), layout)
    with pytest.raises(IndexError, match="7 cells"):
        open_rows(tmp_path / "plain.h5ad").read_rows(wrong)


@pytest.mark.parametrize("layout", list(MAKE))
def test_a_reader_can_be_sent_to_a_worker(layout: str, tmp_path: Path) -> None:
    x = make_matrix(20, 5, 0.5, "float32", 2)
    write(tmp_path / "plain.h5ad", x, layout)
    rows: Rows = pickle.loads(pickle.dumps(open_rows(tmp_path / "plain.h5ad")))
    np.testing.assert_array_equal(rows.read_rows([4, 2]).toarray(), x[[4, 2]])


def test_leaving_early_closes_the_file(tmp_path: Path) -> None:
    write(tmp_path / "plain.h5ad", np.ones((7, 5)), "csr")
    blocks = open_rows(tmp_path / "plain.h5ad").iter_rows(5)
    next(blocks)
    blocks.close()
    with h5py.File(tmp_path / "plain.h5ad", "r+") as file:
        assert "X" in file


def test_blocks_that_are_kept_stay_as_they_were(tmp_path: Path) -> None:
    """Memory is used again only where nobody holds it."""
    x = make_matrix(60, 9, 0.6, "float32", 4)
    write(tmp_path / "plain.h5ad", x, "csr")
    rows = open_rows(tmp_path / "plain.h5ad")
    np.testing.assert_array_equal(np.vstack([b.toarray() for _, b in list(rows.iter_rows(50))]), x)
    addresses = [block.data.__array_interface__["data"][0] for _, block in rows.iter_rows(50)]
    assert len(set(addresses)) < len(addresses)


@pytest.mark.parametrize("dtype", ["int64", "uint32", "int16"])
def test_indices_of_other_types(dtype: str, tmp_path: Path) -> None:
    x = make_matrix(20, 9, 0.6, "float32", 5)
    write(tmp_path / "plain.h5ad", x, "csr")
    with h5py.File(tmp_path / "plain.h5ad", "r+") as file:
        indices = file["X/indices"][:].astype(dtype)
        del file["X/indices"]
        file["X/indices"] = indices
    rows = open_rows(tmp_path / "plain.h5ad")
    for _, block in rows.iter_rows(1000):
        np.testing.assert_array_equal(block.toarray(), x)
        assert block.indices.dtype == np.int32
    with h5py.File(tmp_path / "plain.h5ad", "r+") as file:
        file["X/indices"][3] = np.iinfo(dtype).max
    with refusal(DataError, "x_damaged"):
        list(rows.iter_rows(1000))


def test_far_rows_are_read_apart_and_near_ones_together() -> None:
    ends = np.arange(11, dtype=np.int64) * rows_module.GAP_VALUES
    rows = CsrRows(Path("x.h5ad"), matrix="X", shape=(10, 5), dtype="float32", chunk=1, ends=ends)
    wanted = np.array([0, 1, 3, 6, 7])
    runs = [run.tolist() for run in rows._runs(wanted, 100 * rows_module.GAP_VALUES)]
    assert runs == [[0, 1, 3], [6, 7]]
    assert [run.tolist() for run in rows._runs(wanted, 2 * rows_module.GAP_VALUES)] == [[0, 1], [3], [6, 7]]


def test_dense_blocks_keep_chunks_whole(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file.create_dataset("X", data=np.ones((50, 10)), chunks=(8, 10))
    starts = [start for start, _ in open_rows(tmp_path / "x.h5ad").iter_rows(250)]
    assert starts == list(range(0, 50, 24))


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=200), block=st.integers(1, 100), n=st.integers(2, 12))
def test_ranges(counts: list[int], block: int, n: int) -> None:
    ends = np.concatenate([[0], np.cumsum(counts)])
    cuts = list(cut(ends, block))
    assert [i for start, stop in cuts for i in range(start, stop)] == list(range(len(counts)))
    ranges = list(spread(ends, block=block, n=n))
    assert 1 <= len(ranges) <= n
    assert all(0 <= start < stop <= len(counts) for start, stop in ranges)
    assert all(ends[stop] - ends[start] <= block or stop == start + 1 for start, stop in [*cuts, *ranges])
    assert (ranges[0][0], ranges[-1][1]) == (0, len(counts))


@pytest.mark.parametrize("layout", list(MAKE))
def test_a_sample_is_bounded_and_spread(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(1, 40 * 30 + 1, dtype=np.float32).reshape(40, 30)
    write(tmp_path / "plain.h5ad", x, layout)
    rows = open_rows(tmp_path / "plain.h5ad")
    whole = np.concatenate([block.data for _, _, block in rows.sample()])
    assert sorted(whole) == sorted(x.ravel())
    monkeypatch.setattr(rows_module, "WHOLE_SAMPLE", 500)
    monkeypatch.setattr(rows_module, "SAMPLE_BLOCK", 60)
    monkeypatch.setattr(rows_module, "SAMPLE_BLOCKS", (3, 5))
    parts = list(rows.sample())
    for cell, gene, block in parts:
        np.testing.assert_array_equal(block.toarray(), x[cell : cell + block.shape[0], gene : gene + block.shape[1]])
    assert sum(block.nnz for _, _, block in parts) <= 5 * 60
    assert {0, 1200} <= {block.data.min() - 1 for *_, block in parts} | {block.data.max() for *_, block in parts}


@pytest.mark.parametrize("layout", list(MAKE))
@pytest.mark.parametrize("store", STORES)
def test_any_matrix_of_a_file_is_read(layout: str, store: str, tmp_path: Path) -> None:
    x = make_matrix(30, 8, 0.4, "float32", 4)
    data = ad.AnnData(csr_matrix((30, 8), dtype=np.float32))
    data.layers["log"], data.obsm["X_hvg"] = MAKE[layout](x), MAKE[layout](x[:, :5])
    if store.endswith(".zarr"):
        data.write_zarr(tmp_path / store)
    else:
        data.write_h5ad(tmp_path / store)
    for matrix, expected in (("layers/log", x), ("obsm/X_hvg", x[:, :5])):
        rows = open_rows(tmp_path / store, matrix=matrix)
        assert (rows.layout, rows.matrix) == (layout, matrix)
        np.testing.assert_array_equal(np.vstack([b.toarray() for _, b in rows.iter_rows(20)]), expected)
    with pytest.raises(DataError) as caught:
        open_rows(tmp_path / store, matrix="layers/none")
    assert caught.value.code == "no_x"


def test_the_same_rows_as_anndata(tmp_path: Path) -> None:
    x = csr_matrix(make_matrix(50, 20, 0.3, "float32", 3))
    ad.AnnData(x).write_h5ad(tmp_path / "x.h5ad", compression="gzip")
    np.testing.assert_array_equal(open_rows(tmp_path / "x.h5ad").read_rows(range(50)).toarray(), x.toarray())
