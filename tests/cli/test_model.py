"""`vccapp model embed`: vectors of cells from the command line, and a network that takes them."""

import json
import shutil
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from toy import make_counts

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import make_split, write_split
from vccapp.data.workspace import register
from vccapp.errors import Stopped
from vccapp.neural.state_embedding.spec import SIZES, Size
from vccapp.progress import silent
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.tasks.embed import Embed, training_folder
from vccapp.training.metrics_log import read_metrics


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fingerprint of indexed toy data with a split 's', in a workspace of the command's own."""
    settings = Settings(home=tmp_path / "workspace", checkpoints=tmp_path / "checkpoints", data_roots=(tmp_path,))
    counts = make_counts(n_perturbations=8)
    counts.obsm["X_state"] = np.random.default_rng(0).normal(size=(counts.n_obs, 3)).astype(np.float32)
    counts.obsm["X_broken"] = np.full((counts.n_obs, 2), np.nan)
    counts.write_h5ad(tmp_path / "toy.h5ad")
    data = open_dataset(tmp_path / "toy.h5ad")
    build_index(data, register(data, settings) / "index")
    write_split(make_split([f"GENE{i}" for i in range(8)], name="s", dataset=data.fingerprint), settings)
    monkeypatch.setenv("VCCAPP_HOME", str(settings.home))
    monkeypatch.setenv("VCCAPP_CHECKPOINTS", str(settings.checkpoints))
    return data.fingerprint


@pytest.mark.slow
def test_embedded_cells_are_what_a_network_takes(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["model", "embed", dataset, "--components", "4", "--split", "s", "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert json.loads(said.out)["name"] == "X_pca"
    params = ("inputs=X_pca", "steps=3", "sets=2", "set_size=4", "genes=20", "embedding=expression")
    with pytest.raises(SystemExit) as ended:
        main(["train", "start", "state", "--split", "s", *(f"--set={word}" for word in params), "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert json.loads(said.out)["state"] == "finished"


@pytest.mark.slow
def test_embeddings_of_the_file_are_taken_and_written_with_the_preprocessed_cells(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["model", "embed", dataset, "--method", "obsm", "--key", "X_state", "--json"],
        ["model", "embed", dataset, "--method", "pca", "--components", "4"],
        ["data", "preprocess", dataset, str(tmp_path / "out.h5ad"), "--n-hvg", "20"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0, capsys.readouterr().err
    source, out = ad.read_h5ad(tmp_path / "toy.h5ad"), ad.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(out.obsm["X_state"], source.obsm["X_state"])
    assert out.obsm["X_pca"].shape == (source.n_obs, 4)
    centred = out.X.toarray() - out.X.toarray().mean(axis=0)
    assert np.abs(out.obsm["X_pca"].T @ out.obsm["X_pca"]).argmax(axis=0).tolist() == [0, 1, 2, 3]  # uncorrelated
    assert np.var(out.obsm["X_pca"], axis=0).sum() < np.var(centred, axis=0).sum()


@pytest.mark.slow
@pytest.mark.parametrize(("key", "said"), [("X_umap", "has: X_broken, X_state"), ("X_broken", "are not numbers")])
def test_embeddings_that_cannot_be_taken_are_refused(
    dataset: str, key: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["model", "embed", dataset, "--method", "obsm", "--key", key])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_unknown_methods_are_refused(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["model", "embed", dataset, "--method", "umap"])
    assert ended.value.code == 2 and "umap" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_training_of_the_embedding_goes_on(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZES, "xs", Size(16, 32, 1, 2, 8, 12, 8))
    settings = Settings(device="cpu")
    rng = np.random.default_rng(0)
    names = open_dataset(tmp_path / "toy.h5ad").genes.astype(str)
    np.savez(tmp_path / "genes.npz", genes=names, vectors=rng.normal(size=(len(names), 8)))
    params = {"embedding": str(tmp_path / "genes.npz"), "genes": 0, "steps": 12, "batch_size": 8}
    task = Embed(dataset=dataset, method="state", seed=3, params=params)
    whole = task.run(settings, silent)
    expected = np.load(whole.folder / "values.npy")
    steps = read_metrics(whole.folder)["step"].tolist()
    shutil.rmtree(whole.folder)

    def stop(fraction: float, message: str = "") -> None:
        if message.startswith("step 5"):
            raise Stopped

    with pytest.raises(Stopped):
        task.run(settings, stop)
    begun = training_folder(settings, dataset)
    assert begun.is_dir()
    again = task.run(settings, silent)
    np.testing.assert_array_equal(np.load(again.folder / "values.npy"), expected)
    assert read_metrics(again.folder)["step"].tolist() == steps
    assert not begun.exists()


@pytest.mark.parametrize(("word", "said"), [("steps=0", "steps of the state"), ("batch_size=10000000", "are allowed")])
def test_a_state_embedding_that_cannot_be_is_refused_before_it_starts(
    word: str, said: str, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["model", "embed", dataset, "--method", "state", "--set", word])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
