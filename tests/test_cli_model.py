"""`vccapp model embed`: vectors of cells from the command line, and a network that takes them."""

import json
from pathlib import Path

import pytest
from toy import make_counts

from vccapp.cli import main
from vccapp.data.dataset import open_dataset
from vccapp.data.split import make_split, write_split
from vccapp.data.workspace import register
from vccapp.settings import Settings
from vccapp.stats.build import build_index


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fingerprint of indexed toy data with a split 's', in a workspace of the command's own."""
    settings = Settings(home=tmp_path / "workspace", checkpoints=tmp_path / "checkpoints", data_roots=(tmp_path,))
    make_counts(n_perturbations=8).write_h5ad(tmp_path / "toy.h5ad")
    data = open_dataset(tmp_path / "toy.h5ad")
    build_index(data, register(data, settings) / "index")
    write_split(make_split([f"GENE{i}" for i in range(8)], name="s", dataset=data.fingerprint), settings)
    monkeypatch.setenv("VCCAPP_HOME", str(settings.home))
    monkeypatch.setenv("VCCAPP_CHECKPOINTS", str(settings.checkpoints))
    return data.fingerprint


def test_embedded_cells_are_what_a_network_takes(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["model", "embed", dataset, "--components", "4", "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert json.loads(said.out)["name"] == "X_pca"
    params = ("inputs=X_pca", "steps=3", "sets=2", "set_size=4", "genes=20", "embedding=expression")
    with pytest.raises(SystemExit) as ended:
        main(["train", "start", "state", "--split", "s", *(f"--set={word}" for word in params), "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert json.loads(said.out)["state"] == "finished"


def test_unknown_methods_are_refused(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["model", "embed", dataset, "--method", "umap"])
    assert ended.value.code == 2 and "choose pca or state" in capsys.readouterr().err
