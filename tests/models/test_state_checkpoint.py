"""A run folder that arc-state wrote: converted without running its pickles, and predicting what arc-state predicts."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.make_state_run import FILE, LABELS
from refusals import refusal
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.errors import DataError, SpecError
from vccapp.models.base import load_model, make_model
from vccapp.models.state_checkpoint import StateCheckpoint
from vccapp.neural.state.convert import convert
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    with zipfile.ZipFile(FILE) as packed:
        packed.extractall(folder)
    return folder / "run"


@pytest.fixture(scope="module")
def expected(run: Path) -> dict[str, np.ndarray]:
    with np.load(run.parent / "expected.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def converted(run: Path) -> Path:
    convert(run, run.parent / "converted")
    return run.parent / "converted"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("index")
    make_counts(400, 40, 6, seed=1).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture(scope="module")
def split() -> Split:
    return split_from_lists(name="s", dataset="d", train=["GENE0", "GENE3", "GENE4"], val=["GENE1"], test=["GENE2"])


@pytest.fixture
def model(converted: Path, index: Index, split: Split) -> StateCheckpoint:
    return make_model("state_checkpoint", {"folder": str(converted)}).fit(index, split)


def test_it_predicts_what_the_original_predicts(model: StateCheckpoint, expected: dict[str, np.ndarray]) -> None:
    for label in LABELS:
        own = model.transform(expected["controls"], label, batches=expected["batches"])
        np.testing.assert_allclose(own, expected[label], atol=1e-5)
    assert np.abs(expected["GENE0"] - expected["GENE3"]).max() > 1e-3


@pytest.mark.slow
def test_saved_and_loaded_it_predicts_the_same(model: StateCheckpoint, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_allclose(again.predict(["GENE2", "GENE5"]), model.predict(["GENE2", "GENE5"]), atol=1e-6)
    assert again.spec == model.spec


def test_deltas_are_of_the_genes_by_name(model: StateCheckpoint, index: Index) -> None:
    deltas = model.predict(["GENE0", CONTROL])
    assert not deltas[1].any()
    cells = model.transform(model.controls, "GENE0", batches=model.control_batches)
    wanted = cells.mean(axis=0) - model.controls.astype(np.float32).mean(axis=0)
    np.testing.assert_allclose(deltas[0, 5:35], wanted, atol=1e-5)  # float32: the order of sums differs by processor


def test_unknown_perturbations_are_said_and_get_the_mean_row(model: StateCheckpoint, converted: Path) -> None:
    assert model.coverage(["GENE0", "NEW"])["n_known"].tolist() == [1, 0]
    assert model.predict(["NEW"]).any()
    strict = make_model("state_checkpoint", {"folder": str(converted), "missing": "error"})
    strict.__dict__ |= {name: value for name, value in model.__dict__.items() if name != "spec"}
    with refusal(SpecError, "never_seen"):
        strict.predict(["NEW"])


def test_network_cells_are_the_network_s_and_others_as_they_were(converted: Path, index: Index, split: Split) -> None:
    model = make_model("state_checkpoint", {"folder": str(converted), "cells": "network"}).fit(index, split)
    rng = np.random.default_rng(0)
    controls = csr_matrix(np.log1p(rng.poisson(1.0, (11, 40))).astype(np.float32))
    cells = model.cells("GENE0", controls).toarray()
    wanted = np.clip(model.transform(controls[:, 5:35].toarray(), "GENE0"), 0, 14)
    np.testing.assert_allclose(cells[:, 5:35], wanted, atol=1e-6)
    assert (cells[:, 35:] > 0).sum() == (controls[:, 35:].toarray() > 0).sum()


@pytest.mark.slow
def test_the_command_says_what_it_would_run_and_asks(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "convert", str(run), str(tmp_path / "out"), "--json"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and not (tmp_path / "out").exists()
    said = json.loads(capsys.readouterr().err)["error"]
    assert "vccapp.neural.state.convert" in said and "--yes" in said
    with pytest.raises(SystemExit) as ended:
        main([*words, "--yes"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["genes"] == 30
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["official.json", "weights.safetensors"]


class Harm:
    """Pickled, it creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": {}, "hyper_parameters": Harm(tmp_path / "ran")}, tmp_path / "checkpoints" / "final.ckpt")
    with refusal(DataError, "checkpoint_unreadable"):
        convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()
    with refusal(DataError, "checkpoint_missing"):
        convert(tmp_path / "nowhere", tmp_path / "out")


def test_data_of_other_genes_are_refused(converted: Path, tmp_path: Path, split: Split) -> None:
    data = make_counts(60, 40, 6)
    data.var_names = [f"OTHER{i}" for i in range(40)]
    data.write_h5ad(tmp_path / "other.h5ad")
    build_index(open_dataset(tmp_path / "other.h5ad"), tmp_path / "index")
    with refusal(SpecError, "genes_lacking"):
        make_model("state_checkpoint", {"folder": str(converted)}).fit(load_index(tmp_path / "index"), split)
