"""Preprocessed cells against scanpy's own steps on the same file, and what the writer refuses."""

import shutil
from collections import namedtuple
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import IGNORED, Columns
from vccapp.errors import DataError, ResourceError, SpecError, Stopped
from vccapp.stats.building.build import build_index
from vccapp.stats.cells import preprocess
from vccapp.stats.cells.preprocess import write_preprocessed
from vccapp.stats.index import load_index


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of toy counts with more than vccapp needs: more columns, uns, a cell without UMIs; its index beside it."""
    counts = make_counts()
    counts.X = counts.X.multiply((np.arange(counts.n_obs) != 7)[:, None]).tocsr()
    counts.obs["score"] = np.linspace(0, 1, counts.n_obs)
    counts.var["symbol"] = counts.var_names.str.lower()
    counts.uns["simulated"] = True
    path = tmp_path_factory.mktemp("preprocess") / "toy.h5ad"
    counts.write_h5ad(path)
    build_index(open_dataset(path), path.parent / "index")
    return path


def by_scanpy(path: Path, *, n_hvg: int) -> ad.AnnData:
    """As a dense matrix: for CSR, scanpy 1.11 counts cells without UMIs into the median."""
    import scanpy as sc

    data = ad.read_h5ad(path)
    data.X = data.X.astype(np.float32).toarray()
    sc.pp.normalize_total(data)
    sc.pp.log1p(data)
    sc.pp.highly_variable_genes(data, n_top_genes=n_hvg)
    data.obsm["X_hvg"] = data[:, data.var.highly_variable].X.copy()
    return data


def check_equal(out: Path, expected: ad.AnnData) -> None:
    ours = ad.read_h5ad(out)
    assert ours.X.format == "csr" and ours.X.dtype == np.float32 and ours.X.has_canonical_format
    np.testing.assert_allclose(ours.X.toarray(), expected.X, atol=1e-5)
    pd.testing.assert_frame_equal(ours.obs, expected.obs)
    columns = expected.var.columns
    assert ours.var["highly_variable"].tolist() == expected.var["highly_variable"].tolist()
    pd.testing.assert_frame_equal(ours.var[columns], expected.var, rtol=1e-4, atol=1e-5)
    assert ours.obsm["X_hvg"].dtype == np.float32
    np.testing.assert_allclose(ours.obsm["X_hvg"], expected.obsm["X_hvg"], atol=1e-5)
    assert ours.uns["log1p"] == expected.uns["log1p"] and ours.uns["hvg"] == expected.uns["hvg"]


@pytest.mark.slow
@pytest.mark.parametrize("n_hvg", [10, 2000])
def test_toy_equals_scanpy(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_hvg: int) -> None:
    monkeypatch.setattr(preprocess, "BLOCK_VALUES", 500)  # dozens of blocks
    out = tmp_path / "out.h5ad"
    expected = by_scanpy(toy, n_hvg=n_hvg)
    chosen = write_preprocessed(open_dataset(toy), load_index(toy.parent / "index"), out, n_hvg=n_hvg)
    assert chosen == expected.var["highly_variable"].sum()
    check_equal(out, expected)
    assert open_dataset(out).schema.value_space == "log1p" and open_dataset(out).simulated


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_hvg"),
    [
        ("vcc2025_h1_subset/H1-VCC-2025-training.h5ad", 200),
        ("papalexi2021_thp1/papalexi2021_thp1_20729x299_counts.h5ad", 100),
    ],
)
def test_real_cells_equal_scanpy(shared: Path, tmp_path: Path, name: str, n_hvg: int) -> None:
    build_index(open_dataset(shared / name), tmp_path / "index")
    write_preprocessed(open_dataset(shared / name), load_index(tmp_path / "index"), tmp_path / "o.h5ad", n_hvg=n_hvg)
    check_equal(tmp_path / "o.h5ad", by_scanpy(shared / name, n_hvg=n_hvg))


@pytest.mark.slow
def test_log1p_cells_pass_unchanged_and_any_layout_is_read(toy: Path, tmp_path: Path) -> None:
    expected = by_scanpy(toy, n_hvg=20)
    logs = ad.AnnData(expected.X, obs=expected.obs, var=expected.var[["symbol"]])
    logs.write_zarr(tmp_path / "logs.zarr")
    dataset = open_dataset(tmp_path / "logs.zarr")
    build_index(dataset, tmp_path / "index")
    write_preprocessed(dataset, load_index(tmp_path / "index"), tmp_path / "out.h5ad", n_hvg=20)
    check_equal(tmp_path / "out.h5ad", expected)


@pytest.mark.slow
def test_several_files_are_one(toy: Path, tmp_path: Path) -> None:
    expected, whole = by_scanpy(toy, n_hvg=20), ad.read_h5ad(toy)
    whole[:100].write_h5ad(tmp_path / "a.h5ad")
    whole[100:, ::-1].write_h5ad(tmp_path / "b.h5ad")
    dataset = open_dataset([tmp_path / "a.h5ad", tmp_path / "b.h5ad"], columns=Columns(context=IGNORED))
    build_index(dataset, tmp_path / "index")
    write_preprocessed(dataset, load_index(tmp_path / "index"), tmp_path / "out.h5ad", n_hvg=20)
    check_equal(tmp_path / "out.h5ad", expected)


def test_nothing_is_left_of_a_stopped_one(toy: Path, tmp_path: Path) -> None:
    def stop(fraction: float, message: str = "") -> None:
        if fraction > 0:
            raise Stopped

    with pytest.raises(Stopped):
        write_preprocessed(open_dataset(toy), load_index(toy.parent / "index"), tmp_path / "out.h5ad", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_refusals(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, index = open_dataset(toy), load_index(toy.parent / "index")
    (tmp_path / "there.h5ad").write_text("mine")
    with refusal(SpecError, "output_exists"):
        write_preprocessed(dataset, index, tmp_path / "there.h5ad")
    with refusal(SpecError, "suffix"):
        write_preprocessed(dataset, index, tmp_path / "out.csv")
    make_counts(seed=1).write_h5ad(tmp_path / "other.h5ad")
    with refusal(DataError, "data_changed"):
        write_preprocessed(open_dataset(tmp_path / "other.h5ad"), index, tmp_path / "out.h5ad")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 100, 100))
    with refusal(ResourceError, "disk"):
        write_preprocessed(dataset, index, tmp_path / "out.h5ad")
    assert (tmp_path / "there.h5ad").read_text() == "mine" and not (tmp_path / "out.h5ad").exists()
