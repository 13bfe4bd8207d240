"""Files as people have them: those that ../shared/cases writes, and how much of a gene is left in one."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import CONTROL

CASES = ROOT.parent / "shared" / "cases"


def write_case(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, suffix: str = ".h5ad") -> Path:
    """Run a script of ../shared/cases; skips where it is absent."""
    if not (CASES / f"{name}.py").is_file():
        pytest.skip(f"{CASES / name}.py is absent")
    path = folder / f"{name}{suffix}"
    monkeypatch.setattr(sys, "argv", [name, str(path)])
    monkeypatch.syspath_prepend(str(CASES))
    # toy.py of the cases hides the one of the tests while the script runs
    tests_toy = sys.modules.pop("toy", None)
    try:
        runpy.run_path(str(CASES / f"{name}.py"))
    finally:
        sys.modules.pop("toy", None)
        if tests_toy is not None:
            sys.modules["toy"] = tests_toy
    return path


def left_of(dataset: Dataset, gene: str) -> float:
    """What is left of the gene where it is perturbed, as the index says: expm1 of the mean log1p over the controls'."""
    values = dataset.read_rows(np.arange(dataset.n_cells)).toarray().astype(np.float64)
    if dataset.schema.value_space == "counts":
        totals = values.sum(axis=1, keepdims=True)
        values = np.log1p(values / totals * np.median(totals))
    column = values[:, dataset.genes.tolist().index(gene)]
    labels = dataset.cells["perturbation"].astype(str).to_numpy()
    return float(np.expm1(column[labels == gene].mean()) / np.expm1(column[labels == CONTROL].mean()))
