"""The cell-major matrix: the values are those of the data file, wherever they are kept."""

import shutil
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError, ResourceError, SpecError
from vccapp.stats.building.build import build_index
from vccapp.stats.cells import matrix as cell_matrix
from vccapp.stats.cells.embedding import write_pca
from vccapp.stats.cells.matrix import matrix_bytes, open_cell_matrix
from vccapp.stats.cells.variable import choose_genes
from vccapp.stats.index import Index, load_index


def make_index(data: ad.AnnData, folder: Path) -> Index:
    data.write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture(scope="module")
def counts() -> ad.AnnData:
    """With counts that a byte does not hold: 400 in one cell, 255 and 254 in others."""
    data = make_counts(n_cells=300)
    x = data.X.tolil()
    x[5, 2], x[7, 2], x[7, 40] = 255, 254, 100_000
    data.X = x.tocsr()
    return data


@pytest.fixture(scope="module")
def index(counts: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return make_index(counts, tmp_path_factory.mktemp("counts"))


@pytest.fixture(scope="module")
def logs(counts: ad.AnnData) -> np.ndarray:
    data = counts.copy()
    sc.pp.normalize_total(data)
    sc.pp.log1p(data)
    return data.X.toarray()


@pytest.mark.parametrize("memory_bytes", [10**9, 100])
def test_rows_are_log1p_of_the_file(
    index: Index, counts: ad.AnnData, logs: np.ndarray, memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    genes = np.array([40, 2, 3, 59, 52])
    matrix = open_cell_matrix(index, genes, memory_bytes=memory_bytes)
    assert matrix.shape == (300, 5) and matrix_bytes(index, 5) == 1500
    cells = np.array([7, 5, 0, 299, 7])
    np.testing.assert_allclose(matrix.rows(cells), logs[np.ix_(cells, genes)], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(matrix.counts(cells), counts.X[cells][:, genes].toarray())
    out = np.full((5, 5), -1, np.float32)
    assert matrix.rows(cells, out=out) is out and (out >= 0).all()
    every = open_cell_matrix(index, np.arange(60), memory_bytes=memory_bytes)
    np.testing.assert_allclose(every.rows(np.arange(300)), logs, rtol=1e-6, atol=1e-7)


def test_a_mapped_matrix_is_made_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cell_matrix(index, np.arange(9), memory_bytes=0).rows(np.arange(300))
    monkeypatch.setattr(cell_matrix, "_cell_major", None)
    np.testing.assert_array_equal(open_cell_matrix(index, np.arange(9), memory_bytes=0).rows(np.arange(300)), first)


def test_log1p_input_passes_unchanged(counts: ad.AnnData, logs: np.ndarray, tmp_path: Path) -> None:
    data = counts.copy()
    data.X = np.asarray(logs)
    index = make_index(data, tmp_path)
    matrix = open_cell_matrix(index, np.arange(1, 60), memory_bytes=10**9)
    np.testing.assert_allclose(matrix.rows(np.array([3, 1])), logs[[3, 1], 1:], rtol=1e-6)
    np.testing.assert_array_equal(matrix.counts(np.array([3])), matrix.rows(np.array([3])))
    assert matrix_bytes(index, 10) == 300 * 10 * 4


def test_a_full_disk_is_told(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(20, 10, 10))
    with refusal(ResourceError, "disk"):
        open_cell_matrix(index, np.arange(31), memory_bytes=0)


def test_genes_are_the_most_variable(index: Index) -> None:
    table = index.genes["dispersions_norm"]
    chosen = choose_genes(index, 10)
    assert len(chosen) in (10, 11) and (np.diff(chosen) > 0).all()  # 11: two genes alone in their bin share the rank
    assert table[chosen].min() > table.drop(chosen).max()
    assert len(choose_genes(index, 0)) == len(choose_genes(index, 10**6)) == 60
    index.genes["dispersions_norm"] = np.nan
    with refusal(SpecError, "no_hvg"):
        choose_genes(index, 10)


def test_an_embedding_of_an_index_that_was_deleted_meanwhile_is_refused(tmp_path: Path) -> None:
    index = make_index(make_counts(n_cells=60), tmp_path)

    def remove(fraction: float, message: str = "") -> None:
        shutil.rmtree(index.folder, ignore_errors=True)

    with refusal(DataError, "index_gone"):
        write_pca(index, n_components=3, progress=remove)
    assert not list(index.folder.rglob("embedding.json"))


@pytest.mark.parametrize("space", ["counts", "log1p"])
def test_genes_are_chosen_by_the_cells_that_may_be_seen(
    space: str, counts: ad.AnnData, logs: np.ndarray, tmp_path: Path
) -> None:
    """As scanpy chooses them from those cells alone, at the depth of all."""
    data = counts.copy()
    if space == "log1p":
        data.X = np.asarray(logs)
    index = make_index(data, tmp_path)
    seen = ["GENE0", "GENE2"]
    own = counts.obs["target_gene"].isin(["non-targeting", *seen]).to_numpy()
    table = sc.pp.highly_variable_genes(ad.AnnData(logs[own], var=counts.var), n_top_genes=10, inplace=False)
    chosen = choose_genes(index, 10, seen=seen)
    np.testing.assert_array_equal(chosen, np.flatnonzero(table["highly_variable"]))
    assert not np.array_equal(chosen, choose_genes(index, 10))
    np.testing.assert_array_equal(choose_genes(index, 10, seen=index.perturbed), choose_genes(index, 10))
