"""Checks of counts in contexts, by the rules of 2026: each pitfall is told by its check, in its context."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from counts_submission import GENES, PROFILES, SEASON, write_counts
from mutations import labels_changed, values_changed
from spoiled import OF_2026, rows
from toy_seasons import toy_season

from vccapp.submission.check import CheckResult, run_checks


def judge(path: Path, **expected: object) -> dict[str, CheckResult]:
    chosen = {"genes": GENES, "profiles": PROFILES} | expected
    return {result.name: result for result in run_checks(path, SEASON, **chosen)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_counts(tmp_path / "x.h5ad")
    return tmp_path / "x.h5ad"


def test_a_good_file_passes(path: Path) -> None:
    results = judge(path)
    assert [f"{r.name}: {r.message}" for r in results.values() if r.status in ("failed", "warning")] == []
    assert results["swapped_contexts"].status == results["library_size"].status == "ok"


@pytest.mark.parametrize(
    ("name", "check", "status", "says", "mend"),
    [
        ("contexts_lower", "contexts", "failed", "A, B missing; a, b not known", "rename_contexts"),
        ("contexts_missing", "contexts", "failed", "60 cells without context", ""),
        ("no_context_column", "contexts", "failed", "no column 'context'", ""),
        ("context_left_out", "contexts", "failed", "B missing", ""),
        ("contexts_unknown_some", "contexts", "failed", "C not known", ""),
        ("contexts_swapped", "swapped_contexts", "warning", "A is more like B", ""),
        ("missing_in_one_context", "perturbations", "failed", "G2@B", ""),
        ("empty_in_one_context", "empty_cells", "failed", "G2@B", ""),
        ("controls", "controls", "failed", "2 control cells", "drop_controls"),
        ("controls_ntc", "controls", "failed", "NTC", "drop_controls"),
        ("logged", "whole_counts", "failed", "log-normalised", "counts_from_log"),
        ("fractions", "whole_counts", "failed", "no whole numbers", "round_counts"),
        ("rounded_log", "log_values", "failed", "rounded log values", ""),
        ("negative_counts", "non_negative", "failed", "-3", ""),
        ("deep", "cell_totals", "failed", "more than 2,000 counts", ""),
        ("one_deep_cell", "cell_totals", "failed", "1 cells", ""),
        ("shallow", "library_size", "warning", "that control cells of A have", ""),
    ],
)
def test_each_pitfall_is_told(path: Path, name: str, check: str, status: str, says: str, mend: str) -> None:
    OF_2026[name](path)
    result = judge(path)[check]
    assert (result.status, result.mend) == (status, mend) and says in result.message, result
    assert result.fix and result.why


def test_guides_are_hinted_and_cells_counted_in_each_context(path: Path) -> None:
    labels_changed(lambda labels: [f"{label}-1" for label in labels])(path)
    result = judge(path)["perturbations"]
    assert result.status == "failed" and result.mend == "strip_suffixes" and "G1" in result.fix
    assert [(row["context"], row["missing"], row["unexpected"]) for row in result.table] == [("A", 3, 3), ("B", 3, 3)]


@pytest.mark.parametrize(("change", "cells"), [(np.r_[1:120], 19), (np.r_[0, 0:120], 21)])
def test_the_exact_number_of_cells(path: Path, change: np.ndarray, cells: int) -> None:
    rows(lambda adata: change)(path)
    result = judge(path)["cells_per_perturbation"]
    assert result.status == "failed" and result.mend == "resample"
    assert result.table == ({"perturbation": "G1@A", "cells": cells, "asked": 20},)


def test_stored_values_have_a_cap(path: Path) -> None:
    season = toy_season(
        "vcc2026", n_genes=40, targets=dict.fromkeys(("G1", "G2", "G3")), contexts=("A", "B"), cells_per_target=20,
        max_cells=200, max_values=4_700, max_cell_total=2_000.0, depth=None,
    )  # fmt: skip
    values_changed(lambda x: x + 1)(path)
    adata = ad.read_h5ad(path)
    result = {r.name: r for r in run_checks(path, season, genes=GENES)}["stored_values"]
    assert result.status == "failed" and "4,800 values" in result.message and result.mend == ""
    adata.X = sp.csr_matrix(
        (np.where(np.arange(4800) % 2, adata.X.data, 0), adata.X.indices, adata.X.indptr), (120, 40)
    )
    adata.write_h5ad(path)
    result = {r.name: r for r in run_checks(path, season, genes=GENES)}["stored_values"]
    assert result.status == "failed" and result.mend == "drop_zeros"


def test_a_list_of_genes_that_is_not_the_seasons(path: Path) -> None:
    adata = ad.read_h5ad(path)[:, :30].copy()
    adata.write_h5ad(path)
    result = judge(path, genes=GENES[:30])["gene_list"]
    assert result.status == "failed" and "adopts the length" in result.stricter


def test_the_phase_is_found_by_contexts(path: Path) -> None:
    from vccapp.seasons.base import SEASONS

    season = SEASONS["vcc2026"]
    changed = {name: getattr(season, name) for name in type(season).model_fields} | {"n_genes": 40}
    OF_2026["contexts_of_final"](path)
    result = {r.name: r for r in run_checks(path, type(season)(**changed), genes=GENES)}["contexts"]
    assert result.status == "failed" and "Final" in result.message and "F missing" in result.message
    result = {r.name: r for r in run_checks(path, type(season)(**changed), genes=GENES, phase="validation")}["contexts"]
    assert "phase Final" in result.fix


def test_targets_of_2025_are_known_without_a_list(tmp_path: Path) -> None:
    from mutations import CELLS, CONTROL, write_submission

    write_submission(tmp_path / "x.h5ad")
    season = toy_season("vcc2025", n_genes=40, targets={"G1": 30, "G2": 40, "G9": 20})
    result = {r.name: r for r in run_checks(tmp_path / "x.h5ad", season, genes=GENES)}["perturbations"]
    assert result.status == "failed" and "G9" in result.message and "G3" in result.message
    planned = {name: r for r in run_checks(tmp_path / "x.h5ad", season, genes=GENES, cells=CELLS) for name in [r.name]}
    assert planned["perturbations"].status == "failed"
    own = {label: n for label, n in CELLS.items() if label != CONTROL}
    practice = run_checks(tmp_path / "x.h5ad", season, genes=GENES, wanted=own, practice=True)
    found = {r.name: r for r in practice}["perturbations"]
    assert found.status == "warning" and "practice" in found.message
