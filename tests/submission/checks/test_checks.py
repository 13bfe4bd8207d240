"""Each check passes a good file and finds what it is for; all in one pass over X."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from refusals import refusal
from toy_seasons import toy_season

from vccapp.data.h5ad import CsrWriter
from vccapp.errors import CheckError
from vccapp.seasons.base import SEASONS
from vccapp.submission.check import CHECKS, refuse, run_checks

N_GENES = 40
GENES = [f"G{i}" for i in range(N_GENES)]
CONTROL = "non-targeting"
CELLS = {CONTROL: 60, "G1": 30, "G2": 40, "G3+G4": 20}
WANTED = {label: n for label, n in CELLS.items() if label != CONTROL}
CHALLENGE = toy_season("vcc2025", n_genes=N_GENES, targets=WANTED, max_cells=500)


def make_cells() -> dict[str, np.ndarray]:
    """Dense log1p cells per label; each perturbation knocks its genes down and shifts others of its own."""
    rng = np.random.default_rng(0)
    cells = {}
    for i, (label, n) in enumerate(CELLS.items()):
        level = np.linspace(1, 8, N_GENES)
        if label != CONTROL:
            level[[GENES.index(gene) for gene in label.split("+")]] *= 0.2
            level[10 + 5 * i : 15 + 5 * i] *= 1.6
        counts = rng.poisson(level, (n, N_GENES)).astype(np.float32)
        cells[label] = np.log1p(counts * 180 / counts.sum(axis=1, keepdims=True))
    return cells


def check(tmp_path, content=None, *, genes=GENES, season=CHALLENGE, convert=sp.csr_matrix, **expected):
    """Write `content` (label -> dense) and return the results by name."""
    path = tmp_path / "pred.h5ad"
    with CsrWriter(path, genes=genes, pert_col="target_gene") as writer:
        for label, dense in (make_cells() if content is None else content).items():
            writer.append(convert(dense.astype(np.float32)), label)
    expected = {"genes": GENES, "cells": CELLS, "wanted": WANTED} | expected
    return {result.name: result for result in run_checks(path, season, **expected)}


def test_good_file_passes_everything(tmp_path):
    results = check(tmp_path)
    assert {r.name: r.message for r in results.values() if r.status not in ("ok", "skipped")} == {}
    assert [name for name, r in results.items() if r.status == "skipped"] == ["training_controls", "whole_counts"]
    assert set(results) == {name for name, kind in CHECKS.items() if kind.applies(CHALLENGE)}
    refuse(results.values())


def changed(label, change):
    cells = make_cells()
    cells[label] = change(cells[label])
    return cells


def put(value):
    def change(dense):
        dense = dense.copy()
        dense[3, 5] = value
        return dense

    return change


@pytest.mark.parametrize(
    ("name", "cells", "status", "says"),
    [
        ("finite_values", changed("G1", put(np.nan)), "failed", "1 values are NaN or infinite, .* cell 63, gene G5"),
        ("finite_values", changed("G1", put(np.inf)), "failed", "1 values"),
        ("non_negative", changed("G1", put(-0.5)), "failed", "lowest is -0.5"),
        ("value_range", changed("G1", put(15)), "failed", "15; 1 values are not below 15"),
        ("log_values", {k: np.round(v) for k, v in make_cells().items()}, "failed", "rounded log values"),
        ("log_values", {k: np.round(20 * np.expm1(v)) for k, v in make_cells().items()}, "ok", "counts"),
        ("controls", {k: v for k, v in make_cells().items() if k != CONTROL}, "failed", "No cell is labelled"),
        ("controls", changed(CONTROL, lambda x: x[:50]), "failed", "50 controls; the plan says 60"),
        ("perturbations", {k: v for k, v in make_cells().items() if k != "G2"}, "failed", r"1 are missing \(G2\)"),
        ("perturbations", make_cells() | {"G9": np.ones((2, N_GENES))}, "failed", r"1 are unexpected \(G9\)"),
        ("perturbations", changed("G2", lambda x: x[:39]), "failed", "G2 has 39 cells, the plan says 40"),
        ("cells_per_perturbation", changed("G2", lambda x: x[:30]), "warning", "G2: 30 instead of 40"),
        ("cell_cap", changed(CONTROL, lambda x: np.tile(x, (9, 1))), "failed", "630 cells; 500 are allowed"),
        ("identical_cells", changed("G2", lambda x: np.tile(x[:1], (40, 1))), "warning", r"\(G2\); of 1 all"),
        ("identical_cells", changed(CONTROL, lambda x: np.tile(x[:1], (60, 1))), "warning", r"\(non-targeting\)"),
        ("identical_cells", changed("G2", lambda x: np.tile(x[:10], (4, 1))), "warning", r"\(G2\)\."),
        ("library_size", changed("G2", lambda x: x / np.log(2)), "warning", r"\(G2\)"),
        ("library_size", changed("G2", lambda x: x / np.log(10)), "warning", r"\(G2\)"),
        ("empty_cells", changed("G2", lambda x: x * (np.arange(40) > 1)[:, None]), "warning", "2 cells"),
        ("empty_cells", changed("G2", lambda x: x * 0), "failed", "All cells of G2"),
        ("target_gene", changed("G2", lambda x: x + (np.arange(N_GENES) == 2)), "warning", r"1 of 4 .* \(G2\)"),
        ("mode_collapse", {k: make_cells()[CONTROL] for k in CELLS}, "warning", "equal the controls'"),
        (
            "mode_collapse",
            {k: make_cells()[CONTROL if k == CONTROL else "G1"] for k in CELLS},
            "warning",
            "nearly the same pseudobulk",
        ),
    ],
)
def test_finds_what_it_is_for(tmp_path, name, cells, status, says):
    result = check(tmp_path, cells)[name]
    assert result.status == status
    assert re.search(says, result.message), result.message
    assert result.message.endswith(".")
    assert result.status == "ok" or result.fix.endswith(".") and result.why.endswith(".")
    assert "\n" not in result.message + result.fix


@pytest.mark.parametrize(
    ("genes", "status", "says"),
    [
        ([*GENES[:-1], "G0"], "failed", "G0"),
        ([*GENES[:-2], "G39", "G38"], "failed", "column 38 is G39, expected G38"),
        ([*GENES[:-1], "ENSG1"], "failed", r"lack 1 \(G39\) and have 1 others \(ENSG1\)"),
    ],
)
def test_gene_list(tmp_path, genes, status, says):
    result = check(tmp_path, genes=genes)["gene_list"]
    assert result.status == status
    assert re.search(says, result.message), result.message


def test_wrong_number_of_genes_only_matters_for_the_leaderboard(tmp_path):
    season = SEASONS["vcc2025"]
    assert check(tmp_path, season=season)["gene_list"].status == "failed"
    result = check(tmp_path, season=season, practice=True)["gene_list"]
    assert result.status == "warning"
    assert "40 genes, the challenge has 18,080" in result.message


def explicit_zero(dense):
    csr = sp.csr_matrix(dense)
    csr.data[0] = 0
    return csr


def unsorted(dense):
    csr = sp.csr_matrix(dense)
    csr.indices[:2], csr.data[:2] = csr.indices[1::-1].copy(), csr.data[1::-1].copy()
    return csr


@pytest.mark.parametrize(("convert", "says"), [(explicit_zero, "4 explicit zeros"), (unsorted, "4 misplaced")])
def test_layout(tmp_path, convert, says):
    result = check(tmp_path, convert=convert)["layout"]
    assert (result.status, says in result.message) == ("failed", True), result.message


@pytest.mark.parametrize(
    ("convert", "status"),
    [(sp.csc_matrix, "failed"), (lambda x: x.toarray(), "failed"), (lambda x: x.astype(np.float64), "warning")],
)
def test_layout_of_other_writers(tmp_path, convert, status):
    import anndata as ad

    check(tmp_path)
    adata = ad.read_h5ad(tmp_path / "pred.h5ad")
    adata.X = convert(adata.X)
    adata.write_h5ad(tmp_path / "other.h5ad")
    results = {r.name: r for r in run_checks(tmp_path / "other.h5ad", CHALLENGE, genes=GENES, wanted=WANTED)}
    assert results["layout"].status == status
    assert results["gene_list"].status == "ok"
    assert results["finite_values"].status == "ok"


def test_unlabelled_cells(tmp_path):
    import anndata as ad

    check(tmp_path)
    adata = ad.read_h5ad(tmp_path / "pred.h5ad")
    adata.obs.loc["3", "target_gene"] = None
    adata.write_h5ad(tmp_path / "other.h5ad")
    results = {r.name: r for r in run_checks(tmp_path / "other.h5ad", CHALLENGE, genes=GENES)}
    assert results["perturbations"].status == "failed"
    assert "1 cells have no target_gene" in results["perturbations"].message


def test_file_made_elsewhere_without_lists(tmp_path):
    check(tmp_path)
    path = tmp_path / "pred.h5ad"
    season = toy_season("vcc2025", n_genes=N_GENES, targets={})
    results = {r.name: r.status for r in run_checks(path, season)}
    assert results["gene_list"] == results["perturbations"] == "warning"
    assert results["cells_per_perturbation"] == "skipped"
    assert "failed" not in results.values()


def test_refuse_names_the_first(tmp_path):
    cells = changed("G1", put(np.nan)) | {"G9": np.ones((600, N_GENES))}
    with refusal(CheckError, "checks_failed"):
        refuse(check(tmp_path, cells).values())
