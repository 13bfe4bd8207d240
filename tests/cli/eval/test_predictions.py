"""`vccapp eval import`, `diagnose` and `official` from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ASSETS

from vccapp.cli import main
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data that the files in tests/assets predict."""
    folder = tmp_path_factory.mktemp("cli-eval")
    simulate(SimulationSpec(n_cells=600, n_genes=150, n_perturbations=6), folder / "cells.h5ad")
    return folder


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Call:
    for variable, folder in (("HOME", "workspace"), ("CHECKPOINTS", "checkpoints"), ("DATA_ROOTS", "")):
        monkeypatch.setenv(f"VCCAPP_{variable}", str(home / folder))

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.mark.slow
def test_from_a_file_made_elsewhere_to_scores(home: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*words: object) -> dict:
        code, out, err = call(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    data = home / "cells.h5ad"
    ask("data", "index", data)
    imported = ask("eval", "import", ASSETS / "scouter_pred.h5ad", "--dataset", data, "--title", "Scouter")
    run = imported["run"]
    assert (run["state"], run["spec"]["model"], run["spec"]["title"]) == ("finished", "imported", "Scouter")
    assert sorted(run["split"]["test"]) == ["GENE130", "GENE146"]
    assert any("'GENE130+ctrl' as 'GENE130'" in note for note in imported["notes"])

    compared = ask("eval", "compare", "--run", run["id"])
    assert {row["perturbation"] for row in compared["scores"]} == {"GENE130", "GENE146"}
    findings = ask("eval", "diagnose", "--run", run["id"])["findings"]
    assert {"amplitude", "library_size", "variance"} <= {found["name"] for found in findings}
    score = ask("eval", "official", "--scorer", "vccapp", "--max-cells", 10, "--run", run["id"])
    assert score["n_cells"] == {"predicted": 20, "real": 20, "controls": 132} and score["means"]["mae"] > 0

    for words in (("eval", "diagnose"), ("eval", "official", "--scorer", "vccapp", "--season", "2026")):
        code, out, err = call(*words)
        assert code == 0 and len(out.splitlines()) > 5, err
    assert "imported" not in {model["name"] for model in json.loads(call("train", "models", "--json")[1])}
    code, _, err = call("train", "start", "imported", "--split", run["split"]["name"])
    assert code == 2 and "vccapp eval import" in err

    monkeypatch.setenv("VCCAPP_MEMORY_GB", "0.4")
    code, _, err = call("eval", "official", "--scorer", "cell-eval")
    assert code == 2 and "makes the cells dense" in err.splitlines()[-1]
    code, out, err = call("eval", "import", ASSETS / "state_infer.h5ad", "--dataset", data)
    assert (code, out) == (2, "") and err == (
        "Error: state_infer.h5ad: it has both X and obsm/X_hvg, and only one of them is the prediction; say "
        "which (--matrix).\n"
    )
    code, _, err = call("eval", "import", home / "none.h5ad", "--dataset", data)
    assert code == 2 and "none.h5ad: it does not exist" in err
