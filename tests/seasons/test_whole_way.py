"""A season that a user wrote goes the whole way by command: plan, cells, checks, package, scores."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from custom_season import write_season
from page_kit import ask as ask_command
from scored_pairs import CONTROL, make_pair

CONTEXTS = ("K562", "RPE1")
TARGETS = ("G1", "G2", "G3")


def write_cells(path: Path) -> Path:
    """Raw counts of both contexts with controls."""
    sides = []
    for seed, context in enumerate(CONTEXTS, start=1):
        choice = {"seed": seed, "real": ["own"] * 6, "predicted": ["own"] * 7, "outside": 0, "repeats": False}
        cells, _ = make_pair(choice | {"alike": True, "n_genes": 60})
        cells.obs["cell_line"] = context
        cells.obs_names = [f"{context}-{i}" for i in range(cells.n_obs)]
        sides.append(cells)
    whole = ad.concat(sides)
    whole.X = whole.X.astype(np.float32)
    whole.write_h5ad(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("container", ["vcc2026", "h5ad"])
def test_a_season_of_ones_own_by_command(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, value in {"HOME": "home", "CHECKPOINTS": "runs", "DATA_ROOTS": ""}.items():
        monkeypatch.setenv(f"VCCAPP_{name}", str(tmp_path / value))

    def ask(*words: object) -> dict:
        return ask_command(["vccapp", *map(str, words)], capsys)

    real = write_cells(tmp_path / "real.h5ad")
    genes = tuple(f"G{i}" for i in range(60))
    season = write_season(tmp_path / "season", listed=genes, targets=[*TARGETS], container=container)
    assert ask("season", "open", season)["name"] == "contest"
    ask("data", "index", real)
    held = ",".join(f"{target}@{context}" for target in TARGETS for context in CONTEXTS)
    ask("split", "make", real, "--name", "s", "--test", held, "--val", "G4@K562,G5@RPE1")
    ask("train", "start", "perturbation_mean", "--split", "s")
    plan = ask("submit", "plan", "--season", "contest", "--name", "mine")
    assert plan["cells"] == {f"{target}@{context}": 50 for context in CONTEXTS for target in TARGETS}
    report = ask("submit", "build", "mine")
    assert report["kind"] == "SUBMISSION" and report["season"] == "contest"
    cells = ad.read_h5ad(tmp_path / "home" / "submissions" / "mine" / "pred.h5ad")
    assert cells.obs.groupby(["context", "target_gene"], observed=True).size().tolist() == [50] * 6
    assert CONTROL not in set(cells.obs["target_gene"]) and tuple(cells.var_names) == genes
    assert (cells.X.data == np.rint(cells.X.data)).all()
    package = Path(report["folder"]) / report["package"]["path"]
    assert package.suffix == (".h5ad" if container == "h5ad" else ".vcc")
    checked = ask("submit", "check", package, "--season", "contest")
    assert {check["status"] for check in checked} <= {"ok", "warning", "skipped"}
    score = ask("submit", "score", package, "--season", "contest", "--phase", "main", "--dataset", real)
    assert list(score["contexts"]) == list(CONTEXTS) and score["means"]["jaccard"] is not None
    assert [context["n_perturbations"] for context in score["contexts"].values()] == [3, 3]
    again = tmp_path / f"again{package.suffix}"
    assert ask("submit", "reproduce", "mine", "--output", again)["same"]
    assert again.read_bytes() == package.read_bytes()
