"""The official packagers asked by command: what they accept, what they refuse, and where they are not there."""

import os
import shutil

import numpy as np
import pytest
import scipy.sparse as sp
from refusals import refusal

from vccapp.data.h5ad import CsrWriter
from vccapp.errors import ResourceError, SpecError
from vccapp.seasons.base import SEASONS, Target
from vccapp.seasons.containers import CONTAINERS
from vccapp.submission.packing.official import ask_official, official_tool
from vccapp.submission.packing.package import write_vcc

GENES = [f"G{i}" for i in range(40)]
VCC = os.environ.get("VCCAPP_VCC") or shutil.which("vcc")
MEMORY = 8 * 10**9


def season_2026():
    season = SEASONS["vcc2026"]
    targets = (Target(label="G1"), Target(label="G2"))
    phase = season.phases[0].model_copy(update={"targets": targets, "contexts": ("A", "B")})
    return season.model_copy(update={"phases": (phase,), "cells_per_target": 3})


def write_cells(path, *, context_col=None, n=3, factor=1.0, labels=("G1", "G2")):
    rng = np.random.default_rng(0)
    with CsrWriter(path, genes=GENES, pert_col="target_gene", context_col=context_col) as writer:
        for context in ["A", "B"] if context_col else [None]:
            for label in labels:
                cells = sp.csr_matrix(rng.poisson(2.0, (n, len(GENES))) * factor).astype(np.float32)
                writer.append(cells, *([label] if context is None else [label, context]))
    return path


@pytest.mark.official
@pytest.mark.slow
@pytest.mark.parametrize(("factor", "accepted"), [(0.3, True), (30.3, False)])
def test_packager_of_2025(tmp_path, factor, accepted):
    pytest.importorskip("cell_eval", reason="cell-eval is not installed")
    h5ad = write_cells(tmp_path / "in.h5ad", factor=factor, labels=("non-targeting", "G1"))
    verdict = ask_official(h5ad, SEASONS["vcc2025"], genes=GENES, memory_bytes=MEMORY)
    assert verdict.accepted == accepted
    assert verdict.tool.startswith("cell-eval ")
    assert [p.name for p in tmp_path.iterdir()] == ["in.h5ad"]


@pytest.mark.official
@pytest.mark.slow
def test_packager_of_2026(tmp_path):
    if VCC is None:
        pytest.skip("vcc-cli is not installed (set VCCAPP_VCC to its program)")
    season = season_2026()
    good = write_cells(tmp_path / "good.h5ad", context_col="context")
    for path in (good, write_vcc(good, tmp_path / "good.vcc", season).path):
        verdict = ask_official(path, season, genes=GENES, memory_bytes=MEMORY)
        assert (verdict.accepted, verdict.tool) == (True, "vcc-cli 0.3.0")
    few = write_cells(tmp_path / "few.h5ad", context_col="context", n=2)
    verdict = ask_official(few, season, genes=GENES, memory_bytes=MEMORY)
    assert not verdict.accepted
    assert "3" in verdict.said


def test_another_program_called_vcc_is_not_taken_for_it(tmp_path, monkeypatch):
    other = tmp_path / "vcc"
    other.write_text("#!/bin/sh\necho hello\n")
    other.chmod(0o755)
    monkeypatch.setenv("VCCAPP_VCC", str(other))
    with refusal(SpecError, "official_missing"):
        official_tool(SEASONS["vcc2026"])
    monkeypatch.setenv("VCCAPP_VCC", str(tmp_path / "none"))
    with refusal(SpecError, "official_missing"):
        official_tool(SEASONS["vcc2026"])


def test_a_contest_of_ones_own_has_no_official_tool():
    season = SEASONS["vcc2025"].model_copy(update={"container": CONTAINERS["h5ad"]})
    with refusal(SpecError, "no_official_tool"):
        official_tool(season)


def test_more_memory_than_is_allowed_is_refused_before_it_starts(tmp_path):
    h5ad = write_cells(tmp_path / "in.h5ad", factor=0.3)
    with refusal(ResourceError, "memory"):
        ask_official(h5ad, SEASONS["vcc2025"], genes=GENES, memory_bytes=10**6)
