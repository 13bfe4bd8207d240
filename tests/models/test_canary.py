"""The canary: with the cells of the test part scrambled, every model and setting predicts the same, bit for bit."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_state import write_environment
from oracles.make_state_run import FILE
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.evaluation.confidence import Confidence
from vccapp.models.base import Fitting, Model, list_trainable, make_model
from vccapp.models.perturbation_mean import PerturbationMean
from vccapp.neural.arc_state import process
from vccapp.neural.state.convert import convert
from vccapp.neural.state.shape import PRESETS
from vccapp.stats.building.build import build_index
from vccapp.stats.cells.embedding import write_pca
from vccapp.stats.index import Index, load_index
from vccapp.training.validation import make_validation

LABELS = [f"GENE{i}" for i in range(10)]
TRAIN, VAL, TEST = LABELS[:6], LABELS[6:8], LABELS[8:]
SMALL = {"width": 16, "inner": 32, "n_layers": 1, "n_heads": 2, "head_width": 8, "depth": 1, "encoder_depth": 1}
OWN = {"embedding": "expression"}
SCOUTER = OWN | {"genes": 15, "width": 16, "inner": 8, "code": 4, "epochs": 2, "epoch_steps": 1, "batch_size": 32}
STATE = OWN | {"genes": 15, "set_size": 4, "sets": 2, "steps": 4, "validate_every": 2}
SETTINGS: dict[str, list[dict[str, object]]] = {
    "control_mean": [{}],
    "perturbation_mean": [{}],
    "knockdown_mean": [{}],
    "additive": [{}],
    "bilinear": [OWN],
    "ridge": [
        OWN,
        OWN | {"kernel": "linear"},
        OWN | {"strength": 1.5},
        {"embedding": "expression + {folder}/table.csv"},
        {"embedding": "expression + {folder}/edges.csv", "kernel": "linear"},
    ],
    "knn": [OWN],
    "transfer": [{"sources": "other"}, {"sources": "other", "amplitude": 0.5}],
    "ensemble": [OWN | {"members": "knockdown_mean + ridge + knn"}],
    "scouter": [
        SCOUTER,
        SCOUTER | {"metric": "val_loss"},
        SCOUTER | {"faithful": True},
        SCOUTER | {"baseline": "", "mapping": "batch", "loss": "autofocus + 0.1*pseudobulk_mae"},
    ],
    "state": [
        STATE,
        STATE | {"loss": "C4", "baseline": "knn", "batch_encoder": True},
        STATE | {"faithful": True, "cells": "network", "embedding": "one-hot"},
        STATE | {"inputs": "X_pca"},
        STATE | {"start": "start"},
    ],
    "state_checkpoint": [{"folder": "converted"}],
    "state_official": [OWN | {"steps": 10, "genes": 15, "cells": 4, "validate_every": 2}],
}
"""Paths are below the folder of the data; table.csv and edges.csv there are of a user."""


@pytest.fixture(scope="module", autouse=True)
def small_networks(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "xs", SMALL)
        patch.setenv("VCCAPP_STATE", str(folder / "environment"))
        patch.setattr(process, "POLL_SECONDS", 0.02)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("canary")
    write_environment(folder / "environment")
    with zipfile.ZipFile(FILE) as packed:
        packed.extractall(folder)
    convert(folder / "run", folder / "converted")
    return folder


def write_index(folder: Path, name: str, *, seed: int, scrambled: bool = False) -> Index:
    """Toy data; scrambled: the counts of each test cell dealt out to other genes, its depth kept."""
    data = make_counts(500, 40, 10, seed=seed)
    if scrambled:
        counts, rng = data.X.toarray(), np.random.default_rng(7)
        test = data.obs["target_gene"].isin(TEST).to_numpy()
        counts[test] = rng.permuted(counts[test], axis=1)
        data.X = type(data.X)(counts)
    data.write_h5ad(folder / f"{name}.h5ad")
    build_index(open_dataset(folder / f"{name}.h5ad"), folder / name / "index")
    return load_index(folder / name / "index")


def split_of(index: Index) -> Split:
    return split_from_lists(name="s", dataset=index.meta["fingerprint"], train=TRAIN, val=VAL, test=TEST)


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Index, Index]:
    """The data, and the data with scrambled test cells; what runs start from beside them."""
    write_index(folder, "other", seed=5)
    genes, rng = [f"GENE{i}" for i in range(40)], np.random.default_rng(2)
    pd.DataFrame(rng.normal(size=(40, 70)), genes).to_csv(folder / "table.csv")
    pd.DataFrame(rng.choice(genes, (150, 2))).to_csv(folder / "edges.csv", index=False, header=False)
    pair = write_index(folder, "honest", seed=1), write_index(folder, "scrambled", seed=1, scrambled=True)
    for index in pair:
        write_pca(index, n_components=5, n_genes=15, seen=TRAIN)
    make_model("state", STATE).fit(pair[0], split_of(pair[0]), device="cpu").save(folder / "start")
    assert not np.array_equal(*(index.deltas(TEST) for index in pair))
    assert not np.array_equal(*(index.genes["dispersions_norm"] for index in pair))
    return pair


def find_differences(make: Callable[[], Model], pair: tuple[Index, Index], work: Path) -> list[str]:
    """Labels whose prediction depends on the cells of the test part. work : an empty folder"""
    predictions = []
    for index in pair:
        split = split_of(index)
        (own := work / index.folder.parent.name).mkdir()
        validate = make_validation(index, split)
        model = make().fit(index, split, seed=3, device="cpu", validate=validate, folder=own)
        known = [label for label in LABELS if model.available_cells(label) != 0]
        predictions.append(model.predict(known))
    assert np.isfinite(predictions[0]).all()
    equal = (predictions[0] == predictions[1]).all(axis=1)
    return [label for label, same in zip(known, equal, strict=True) if not same]


def test_every_model_has_its_settings() -> None:
    assert set(SETTINGS) == set(list_trainable())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params"),
    [pytest.param(name, own, id=f"{name}-{i}") for name, every in SETTINGS.items() for i, own in enumerate(every)],
)
@pytest.mark.usefixtures("one_thread")
def test_predictions_know_nothing_of_test_cells(
    name: str, params: dict[str, object], pair: tuple[Index, Index], folder: Path, tmp_path: Path
) -> None:
    at = {field: str(folder / str(params[field])) for field in ("start", "folder") if field in params}
    at |= {field: str(params[field]).format(folder=folder) for field in ("embedding",) if field in params}
    assert find_differences(lambda: make_model(name, params | at), pair, tmp_path) == []


@pytest.mark.slow
def test_a_planted_leak_is_caught(pair: tuple[Index, Index], tmp_path: Path) -> None:
    class Leaking(PerturbationMean):
        """Takes a thousandth of what it will be asked for."""

        def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
            super().learn(index, split, fitting)
            self.leak = index.delta(split.test[0])

        def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
            deltas = super().predict_deltas(perturbations)
            deltas[[i for i, label in enumerate(perturbations) if label == TEST[0]]] += 1e-3 * self.leak
            return deltas

    assert find_differences(Leaking, pair, tmp_path) == [TEST[0]]


def test_how_sure_a_prediction_is_knows_nothing_of_test_cells(pair: tuple[Index, Index]) -> None:
    known = [Confidence.of(index, TRAIN, embedding="expression").measure(LABELS) for index in pair]
    np.testing.assert_array_equal(*known)
    leaking = [Confidence.of(index, [*TRAIN, TEST[0]], embedding="expression").measure(LABELS) for index in pair]
    assert np.isfinite(known[0]).all() and not np.array_equal(*leaking)
