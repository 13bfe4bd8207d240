"""The streamed h5ad against anndata's own: same structure, same content, for any blocks."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from vccapp.data.h5ad import CsrWriter
from vccapp.errors import CheckError, DataError
from vccapp.submission.h5ad import open_cells

BLOCKS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["non-targeting", "A", "B+C"])), min_size=1, max_size=5)


def write(path, matrices, labels, genes):
    with CsrWriter(path, genes=genes, pert_col="target_gene") as writer:
        for matrix, label in zip(matrices, labels, strict=True):
            writer.append(matrix, label)


def official(path, matrices, labels, genes):
    obs = pd.DataFrame({"target_gene": pd.Categorical(np.repeat(labels, [m.shape[0] for m in matrices]))})
    obs.index = obs.index.astype(str)
    x = sp.vstack(matrices, format="csr").astype(np.float32)
    ad.AnnData(X=x, obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)


def tree(path) -> dict[str, tuple]:
    """Every object of the file: its attributes, type and values."""
    found = {}

    def visit(name, item):
        attributes = {k: np.asarray(v).tolist() for k, v in item.attrs.items()}
        is_data = isinstance(item, h5py.Dataset)
        found[name] = (attributes, item.dtype if is_data else None, item[()].tolist() if is_data else None)

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(BLOCKS, st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**31))
def test_same_file_as_anndata(tmp_path_factory, blocks, n_genes, density, seed):
    folder = tmp_path_factory.mktemp("h5ad")
    matrices = [
        sp.random(n, n_genes, density=density, format="csr", dtype=np.float32, random_state=seed + i)
        for i, (n, _) in enumerate(blocks)
    ]
    if not sum(m.shape[0] for m in matrices):
        matrices[0] = sp.csr_matrix((1, n_genes), dtype=np.float32)
    genes, labels = [f"G{i}" for i in range(n_genes)], [label for _, label in blocks]
    write(folder / "ours.h5ad", matrices, labels, genes)
    official(folder / "official.h5ad", matrices, labels, genes)
    assert tree(folder / "ours.h5ad") == tree(folder / "official.h5ad")

    x = sp.vstack(matrices, format="csr")
    read = list(open_cells(folder / "ours.h5ad", "target_gene").blocks(max_values=7))
    assert [start for start, _ in read] == np.cumsum([0, *(b.shape[0] for _, b in read[:-1])]).tolist()
    assert (sp.vstack([b for _, b in read]) != x).nnz == 0


def test_failure_inside_the_block_is_not_hidden(tmp_path):
    with pytest.raises(StopIteration), CsrWriter(tmp_path / "x.h5ad", genes=["A"], pert_col="p"):
        raise StopIteration
    with pytest.raises(DataError):
        open_cells(tmp_path / "x.h5ad", "p")


def test_wrong_number_of_genes(tmp_path):
    with CsrWriter(tmp_path / "x.h5ad", genes=["A", "B"], pert_col="p") as writer:
        writer.append(sp.csr_matrix(np.ones((1, 2), np.float32)), "A")
        with pytest.raises(ValueError, match="3 genes"):
            writer.append(sp.csr_matrix(np.ones((1, 3), np.float32)), "A")


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.h5ad"
    write(path, [sp.random(5, 4, density=0.6, format="csr", dtype=np.float32, random_state=0)], ["A"], list("wxyz"))
    return path


def test_dense_and_csc(tmp_path, toy):
    adata = ad.read_h5ad(toy)
    expected = adata.X.toarray()
    adata.X = expected
    adata.write_h5ad(tmp_path / "dense.h5ad")
    cells = open_cells(tmp_path / "dense.h5ad", "target_gene")
    assert cells.layout == "dense"
    assert np.array_equal(sp.vstack([b for _, b in cells.blocks(max_values=8)]).toarray(), expected)
    adata.X = sp.csc_matrix(expected)
    adata.write_h5ad(tmp_path / "csc.h5ad")
    cells = open_cells(tmp_path / "csc.h5ad", "target_gene")
    assert cells.layout == "csc"
    assert np.array_equal(sp.vstack([b for _, b in cells.blocks()]).toarray(), expected)


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i2", "bool"])
def test_cells_are_seen_as_they_are_stored(tmp_path, toy, dtype):
    """Explicit zeros, genes out of order and named twice, and the type of the values: what checks look for."""
    values, indices = np.array([2, 1, 0, 1]).astype(dtype), np.array([3, 0, 2, 2], "i4")
    with h5py.File(toy, "a") as file:
        for name, array in (("data", values), ("indices", indices), ("indptr", np.array([0, 2, 2, 2, 2, 4]))):
            replace(f"X/{name}", array)(file)
    cells = open_cells(toy, "target_gene")
    ((start, block),) = cells.blocks()
    assert (start, block.shape, cells.dtype) == (0, (5, 4), np.dtype(dtype))
    assert block.data.tolist() == values.tolist() and block.indices.tolist() == indices.tolist()
    assert dtype == "bool" or block.dtype == cells.dtype.newbyteorder("=")


def replace(name, values):
    def change(file):
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = values(file) if callable(values) else values
        file[name].attrs.update(attributes)

    return change


@pytest.mark.parametrize(
    ("change", "code", "found"),
    [
        (lambda f: f.__delitem__("X"), "no_x", None),
        (lambda f: f.__delitem__("obs"), "tables_missing", None),
        (replace("X/indices", lambda f: np.full(f["X/data"].size, 99, "i4")), "x_damaged", 99),
        (replace("X/indices", lambda f: np.full(f["X/data"].size, -1, "i4")), "x_damaged", -1),
        (replace("X/indptr", np.array([0, 2, 1, 3, 4, 12], "i4")), "x_damaged", None),
        (replace("X/indptr", np.array([0, 2], "i4")), "x_damaged", None),
        (lambda f: f["X"].attrs.__setitem__("shape", [5, 7]), "shape_mismatch", (5, 7)),
        (replace("X/data", lambda f: np.array(["a"] * f["X/indices"].size, "S1")), "not_numbers", None),
    ],
)
def test_damaged_files(toy, change, code, found):
    with h5py.File(toy, "a") as file:
        change(file)
    with pytest.raises(DataError, match="toy.h5ad") as caught:
        list(open_cells(toy, "target_gene").blocks())
    assert (caught.value.code, caught.value.found) == (code, found)


def test_other_columns_are_named(toy):
    with pytest.raises(CheckError) as caught:
        open_cells(toy, "gene")
    assert (caught.value.code, caught.value.found) == ("no_column", ["target_gene"])


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04\x95pickle"])
def test_not_h5ad(tmp_path, content):
    path = tmp_path / "bad.h5ad"
    path.write_bytes(content)
    with pytest.raises(DataError, match="bad.h5ad"):
        open_cells(path, "target_gene")


def test_truncated_and_absent(tmp_path, toy):
    cut = tmp_path / "cut.h5ad"
    cut.write_bytes(toy.read_bytes()[:3000])
    for path in (cut, tmp_path / "absent.h5ad", tmp_path):
        with pytest.raises(DataError):
            list(open_cells(path, "target_gene").blocks())


def test_zarr_is_no_submission(tmp_path, toy):
    ad.read_h5ad(toy).write_zarr(tmp_path / "toy.zarr")
    with pytest.raises(DataError) as caught:
        open_cells(tmp_path / "toy.zarr", "target_gene")
    assert caught.value.code == "not_hdf5"
