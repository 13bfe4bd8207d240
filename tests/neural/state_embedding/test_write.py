"""Vectors of cells: PCA is exact, SE does not look at the order of genes, learns, and ST takes either as input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists
from vccapp.errors import SpecError
from vccapp.models.base import load_model, make_model
from vccapp.neural.fitting.fitting import Fitting
from vccapp.neural.state.shape import PRESETS
from vccapp.neural.state_embedding import write as state_embedding
from vccapp.neural.state_embedding.net import EmbeddingShape, StateEmbeddingNet
from vccapp.neural.state_embedding.spec import Size, StateEmbeddingSpec
from vccapp.neural.state_embedding.write import write_state_embedding
from vccapp.stats.building.build import build_index
from vccapp.stats.cells.embedding import list_cell_embeddings, open_cell_embedding, write_pca
from vccapp.stats.cells.matrix import open_cell_matrix
from vccapp.stats.cells.variable import choose_genes
from vccapp.stats.index import Index, load_index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Two kinds of cells of equal depth: in either, other 15 genes are twenty times as high."""
    folder = tmp_path_factory.mktemp("index")
    data = make_counts(300, 40, 4, seed=2)
    dense = data.X.toarray()
    dense[:150, :15] *= 20
    dense[150:, 15:30] *= 20
    data.X = type(data.X)(dense)
    data.write_h5ad(folder / "toy.h5ad")
    rng = np.random.default_rng(0)
    np.savez(folder / "genes.npz", genes=np.array(data.var_names, str), vectors=rng.normal(size=(40, 32)))
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(state_embedding.SIZES, "xs", Size(64, 128, 2, 4, 16, 24, 12))
    small = {"width": 32, "inner": 64, "n_layers": 1, "n_heads": 2, "head_width": 16, "depth": 2, "encoder_depth": 2}
    monkeypatch.setitem(PRESETS, "xs", small)


def test_pca_is_that_of_the_whole_matrix(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vccapp.stats.cells.embedding.BLOCK_VALUES", 2000)
    write_pca(index, n_components=5, n_genes=20)
    matrix = open_cell_matrix(index, choose_genes(index, 20), memory_bytes=10**9)
    whole = matrix.rows(np.arange(300))
    left, values, _ = np.linalg.svd(whole - whole.mean(axis=0), full_matrices=False)
    found = open_cell_embedding(index, "X_pca")
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :5] * values[:5]), atol=2e-3)
    assert [(about["name"], about["width"]) for about in list_cell_embeddings(index)][0] == ("X_pca", 5)


def test_the_embedding_does_not_depend_on_the_order_of_genes() -> None:
    torch.manual_seed(0)
    network = StateEmbeddingNet(EmbeddingShape(6, 16, 32, 2, 2, 8, n_datasets=3)).eval()
    vectors, genes, share = torch.randn(30, 6), torch.randint(0, 30, (4, 12)), 30 * torch.rand(4, 12)
    order = torch.randperm(12)
    with torch.no_grad():
        cell, dataset, _ = network(vectors, genes, share)
        again, same, _ = network(vectors, genes[:, order], share[:, order])
        other, _, _ = network(vectors, genes, share.flip(1))
    torch.testing.assert_close(cell, again, atol=1e-5, rtol=0)
    torch.testing.assert_close(dataset, same, atol=1e-5, rtol=0)
    assert (cell - other).abs().max() > 1e-3
    torch.testing.assert_close(cell.norm(dim=1), torch.ones(4))


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_se_learns_and_tells_kinds_of_cells_apart(index: Index) -> None:
    lines: list[dict[str, float]] = []
    genes = str(index.folder.parent / "genes.npz")
    spec = StateEmbeddingSpec(embedding=genes, genes=0, steps=400, batch_size=32)
    folder = write_state_embedding(index, spec, Fitting(log=lines.append, device="cpu"))
    assert {"cells", "genes", "batches"} <= lines[0].keys()
    first, last = (np.mean([line["cells"] for line in part]) for part in (lines[:10], lines[-10:]))
    assert last < 0.8 * first
    vectors = open_cell_embedding(index, "X_state")
    assert vectors.shape == (300, 26) and (folder / "network.safetensors").is_file()
    kind = np.arange(300) < 150
    axis = vectors[kind].mean(axis=0) - vectors[~kind].mean(axis=0)
    score = vectors @ axis
    assert ((score > np.median(score)) == kind).mean() > 0.9


@pytest.mark.usefixtures("tiny")
def test_st_takes_an_embedding_as_input_and_predicts_genes(index: Index, tmp_path: Path) -> None:
    split = split_from_lists(name="s", dataset="d", train=["GENE0", "GENE1", "GENE2"], test=["GENE3"])
    write_pca(index, n_components=5, n_genes=20, seen=split.train)
    params = {"set_size": 8, "sets": 4, "genes": 20, "embedding": "expression", "steps": 5, "inputs": "X_pca"}
    model = make_model("state", params).fit(index, split, device="cpu")
    assert model.network.shape.n_inputs == 5 and model.network.shape.n_outputs == len(model.predicted)
    model.save(tmp_path / "model")
    np.testing.assert_allclose(load_model(tmp_path / "model").predict(["GENE3"]), model.predict(["GENE3"]), atol=1e-6)
    with refusal(SpecError, "no_cell_embedding"):
        make_model("state", params | {"inputs": "X_none"}).fit(index, split, device="cpu")
