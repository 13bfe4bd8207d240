"""`vccapp submit mend`, and `--mend` of check and package: the steps are told, the file is whole, exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from vccapp.cli import main
from vccapp.data.h5ad import CsrWriter
from vccapp.seasons.base import SEASONS

SEASON = SEASONS["vcc2025"]
TARGETS = [target.label for target in SEASON.phase("validation").targets]


def write(path: Path, *, control: str = "non-targeting", suffix: str = "") -> None:
    """Two cells of each target and some controls, over all genes of the season, in the wrong order."""
    rng = np.random.default_rng(0)
    genes = list(SEASON.genes or ())
    with CsrWriter(path, genes=genes[::-1], pert_col="target_gene") as writer:
        for label in [control, *(f"{target}{suffix}" for target in TARGETS)]:
            n = 40 if label == control else 12
            mean = np.linspace(0.2, 6, len(genes)) * (1 + 0.3 * rng.random(len(genes)))
            counts = sp.random(n, len(genes), density=0.02, random_state=rng, data_rvs=lambda k: np.ones(k)).tocsr()
            counts.data = rng.poisson(mean[counts.indices]) + 1.0
            totals = np.asarray(counts.sum(axis=1)).ravel()
            counts.data = np.log1p(counts.data * np.repeat(54_100 / totals, np.diff(counts.indptr)))
            counts.sort_indices()
            writer.append(counts.astype(np.float32), label)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0), capsys.readouterr().out


@pytest.mark.slow
def test_a_file_is_mended_and_packaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, vcc = (tmp_path / name for name in ("x.h5ad", "good.h5ad", "good.vcc"))
    write(path, control="NT", suffix="-1")
    code, _ = call(capsys, "submit", "check", path)
    assert code == 1
    code, said = call(capsys, "submit", "mend", path, out, "--json")
    value = json.loads(said)
    assert code == 0, value
    assert {step["name"] for step in value["steps"]} == {"strip_suffixes", "relabel_controls", "reorder_genes"}
    assert all(result["status"] != "failed" for result in value["checks"])
    code, said = call(capsys, "submit", "package", path, "--mend", tmp_path / "again.h5ad", "--output", vcc, "--json")
    assert code == 0 and vcc.exists()
    assert (tmp_path / "again.h5ad").read_bytes() == out.read_bytes()


@pytest.mark.slow
def test_one_mend_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "x.h5ad", tmp_path / "good.h5ad"
    write(path, control="NT")
    code, said = call(capsys, "submit", "mend", path, out, "--only", "reorder_genes", "--json")
    value = json.loads(said)
    assert code == 1 and [step["name"] for step in value["steps"]] == ["reorder_genes"]
    assert [r["name"] for r in value["checks"] if r["status"] == "failed"] == ["controls", "perturbations"]
    code, said = call(capsys, "submit", "check", out, "--mend", tmp_path / "all.h5ad", "--json")
    assert code == 0 and (tmp_path / "all.h5ad").exists()
