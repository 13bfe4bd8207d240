"""Controls of a prediction against those of the training data: other scales, other cells, other genes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from toy import make_counts
from toy_seasons import toy_season

from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.opening import open_dataset
from vccapp.evaluation.training_data import TrainingData
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.submission.check import CheckResult, run_checks

CONTROL = "non-targeting"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_counts(n_cells=400, n_genes=60, seed=1).write_h5ad(folder / "cells.h5ad")
    build_index(open_dataset(folder / "cells.h5ad"), folder / "index")
    return folder


@pytest.fixture(scope="module")
def data(real: Path) -> TrainingData:
    return TrainingData.of(load_index(real / "index"))


def check(
    tmp_path: Path, real: Path, data: TrainingData | None, change, genes: slice = slice(None)
) -> dict[str, CheckResult]:
    """The real cells, changed, as a prediction. change : of counts (cells, genes), to stored values"""
    dataset = open_dataset(real / "cells.h5ad")
    labels = dataset.cells["perturbation"].astype(str).to_numpy()
    values = change(dataset.read_rows(np.arange(dataset.n_cells)).toarray().astype(np.float64))[:, genes]
    names = dataset.genes[genes].tolist()
    season = toy_season("vcc2025", n_genes=len(names), targets={}, max_cells=500)
    path = tmp_path / "pred.h5ad"
    with CsrWriter(path, genes=names, pert_col="target_gene") as writer:
        for label in [CONTROL, *sorted(set(labels) - {CONTROL})]:
            writer.append(csr_matrix(values[labels == label].astype(np.float32)), label)
    results = run_checks(path, season, genes=names, practice=True, data=data)
    return {result.name: result for result in results}


def log(counts: np.ndarray) -> np.ndarray:
    totals = counts.sum(axis=1, keepdims=True)
    return np.log1p(counts / totals * np.median(totals))


@pytest.mark.parametrize("change", [log, lambda counts: counts], ids=["log1p", "counts"])
@pytest.mark.parametrize("genes", [slice(None), slice(5, 45)])
def test_the_real_cells_are_well(change, genes: slice, tmp_path: Path, real: Path, data: TrainingData) -> None:
    results = check(tmp_path, real, data, change, genes)
    assert (results["training_controls"].status, results["library_size"].status) == ("ok", "ok")
    [row] = results["training_controls"].table
    assert row["correlation"] == pytest.approx(1, abs=0.01) and row["factor"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "change",
    [
        lambda counts: log(counts) / np.log(2),
        lambda counts: log(counts) / np.log(10),
        lambda counts: np.log1p(log(counts)),
        lambda counts: np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4),
        lambda counts: log(counts) * 3,
    ],
    ids=["log2", "log10", "log1p twice", "10,000 a cell", "times 3"],
)
def test_another_scale_of_the_whole_file_is_seen(change, tmp_path: Path, real: Path, data: TrainingData) -> None:
    results = check(tmp_path, real, data, change)
    assert {results["training_controls"].status, results["library_size"].status} == {"warning"}
    alone = check(tmp_path, real, None, change)
    assert alone["training_controls"].status == "skipped" and alone["library_size"].status != "failed"


def test_other_cells_are_seen(tmp_path: Path, real: Path, data: TrainingData) -> None:
    results = check(tmp_path, real, data, lambda counts: log(counts)[:, ::-1])
    assert results["training_controls"].status == "warning"
    assert results["training_controls"].table[0]["correlation"] < 0.9


def test_other_genes_say_nothing(tmp_path: Path, real: Path, data: TrainingData) -> None:
    other = TrainingData(tuple(f"OTHER{i}" for i in range(60)), data.depths, data.logs, data.counts)
    assert check(tmp_path, real, other, log)["training_controls"].status == "skipped"
