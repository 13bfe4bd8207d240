"""The whole path by command: real cells, and the challenge's own genes and cell counts on simulated cells."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from places import ROOT

Ask = Callable[..., Any]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Run a `vccapp` command with --json in a private workspace; what it printed."""
    environment = os.environ | {
        "VCCAPP_HOME": str(tmp_path / "workspace"),
        "VCCAPP_CHECKPOINTS": str(tmp_path / "checkpoints"),
        "VCCAPP_DATA_ROOTS": str(tmp_path),
    }

    def run(*words: object) -> Any:
        command = [sys.executable, "-m", "vccapp", *map(str, words), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def package_of(report: dict[str, Any]) -> Path:
    return Path(report["folder"]) / report["package"]["path"]


def unpack(report: dict[str, Any], folder: Path) -> ad.AnnData:
    """The cells of a built .vcc, read with tar and zstd."""
    import zstandard

    with tarfile.open(package_of(report)) as archive:
        assert archive.getnames() == ["pred.h5ad.zst", "watermark.txt"]
        assert archive.extractfile("watermark.txt").read() == b"vcc-prep"
        with (folder / "pred.h5ad").open("wb") as out:
            zstandard.ZstdDecompressor().copy_stream(archive.extractfile("pred.h5ad.zst"), out)
    return ad.read_h5ad(folder / "pred.h5ad")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "n_perturbations"),
    [
        ("vcc2025_h1_subset/H1-VCC-2025-training.h5ad", 5),
        ("papalexi2021_thp1/papalexi2021_thp1_20729x299_counts.h5ad", 25),
    ],
)
def test_real_cells_to_vcc(shared: Path, ask: Ask, tmp_path: Path, file: str, n_perturbations: int) -> None:
    path = shared / file
    assert ask("data", "describe", path)["n_perturbations"] == n_perturbations
    ask("data", "index", path)
    [split] = ask("split", "make", path, "--name", "s")
    run = ask("train", "start", "perturbation_mean", "--split", "s")
    scores = ask("eval", "compare", "--run", run["id"])
    assert {row["perturbation"] for row in scores["scores"]} == set(split["test"])
    plan = ask("submit", "plan", "--run", run["id"], "--practice", "--name", "mine")
    report = ask("submit", "build", "mine")
    assert report["kind"] == "PRACTICE"
    cells = unpack(report, tmp_path)
    real = ad.read_h5ad(path)
    assert cells.var_names.tolist() == real.var_names.tolist()
    assert cells.obs["target_gene"].value_counts().to_dict() == plan["cells"] | {"non-targeting": plan["n_controls"]}
    checked = ask("submit", "check", package_of(report), "--practice")
    assert not [check for check in checked if check["status"] == "failed"]


@pytest.mark.slow
def test_the_challenges_genes_and_counts(shared: Path, ask: Ask, tmp_path: Path) -> None:
    official = shared / "vcc2025_official"
    cells = tmp_path / "cells.h5ad"
    genes = official / "gene_names.csv"
    ask("data", "simulate", cells, "--genes", genes, "--cells", 4000, "--set", "median_umis=1200")
    ask("data", "index", cells)
    ask("split", "make", cells, "--name", "s")
    run = ask("train", "start", "knockdown_mean", "--split", "s", "--set", "min_control_mean=0.001")
    plan = ask(
        *("submit", "plan", "--run", run["id"], "--genes", genes, "--name", "mine"),
        *("--counts", official / "pert_counts_Validation.csv"),
    )
    assert len(plan["cells"]) == 50
    report = ask("submit", "build", "mine")
    assert report["kind"] == "PRACTICE"  # its cells are simulated, which is all that is wrong with it
    assert len(plan["reasons"]) == 1 and plan["phase"] == "validation"
    built = unpack(report, tmp_path)
    assert built.shape[0] == sum(plan["cells"].values()) + plan["n_controls"] <= 100_000
    assert built.var_names.tolist() == genes.read_text().split()
    assert built.X.dtype == np.float32
    assert built.X.data.min() > 0
