"""The official scorer on our predictions: it runs, and a perfect prediction gets the perfect score."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.data.splits.split import make_split
from vccapp.models.base import make_model
from vccapp.seasons.base import SEASONS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.submission.making.generate import Opened, generate
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.submission.packing.package import write_vcc
from vccapp.submission.planning.make import make_plan

CHALLENGE = SEASONS["vcc2025"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Index]:
    folder = tmp_path_factory.mktemp("scorer")
    spec = SimulationSpec(n_cells=1200, n_genes=200, n_perturbations=12, weakest=0.5, strongest=0.9)
    simulate(spec, folder / "cells.h5ad")
    dataset = open_dataset(folder / "cells.h5ad")
    build_index(dataset, folder / "index")
    return dataset, load_index(folder / "index")


def score(predicted: Path, real: ad.AnnData, folder: Path) -> pd.DataFrame:
    """Per-perturbation table of `cell-eval run --profile vcc`."""
    from cell_eval import MetricsEvaluator

    evaluator = MetricsEvaluator(
        adata_pred=ad.read_h5ad(predicted),
        adata_real=real,
        control_pert=CONTROL,
        pert_col="target_gene",
        num_threads=2,
        outdir=str(folder),
    )
    results, _ = evaluator.compute(profile="vcc", break_on_error=True)
    return results.to_pandas().set_index("perturbation")


def real_cells(dataset: Dataset, index: Index, labels: list[str]) -> ad.AnnData:
    rows = np.flatnonzero(dataset.cells["perturbation"].isin(labels))
    obs = pd.DataFrame({"target_gene": dataset.cells["perturbation"].to_numpy(str)[rows]}, index=rows.astype(str))
    x = index.normalise(dataset.read_rows(rows), rows)
    return ad.AnnData(csr_matrix(x), obs=obs, var=pd.DataFrame(index=dataset.genes))


def through_vcc(h5ad: Path, folder: Path) -> Path:
    """What the judges read: packed, and unpacked again."""
    write_vcc(h5ad, folder / "mine.vcc", CHALLENGE)
    unpack_vcc(folder / "mine.vcc", folder / "read.h5ad", CHALLENGE)
    return folder / "read.h5ad"


@pytest.mark.slow
@pytest.mark.official
def test_a_prediction_is_scored(data: tuple[Dataset, Index], tmp_path: Path) -> None:
    dataset, index = data
    split = make_split(index.labels[1:], name="s", dataset=dataset.fingerprint, ratio=(0.5, 0.0, 0.5))
    model = make_model("perturbation_mean").fit(index, split)
    counts = pd.DataFrame({"target_gene": split.test, "n_cells": 60})
    settings = Settings(home=tmp_path / "workspace", checkpoints=tmp_path / "checkpoints")
    plan = make_plan(index, "run", counts, season=CHALLENGE, settings=settings, practice=True)
    generate(plan, {"": Opened(dataset, index, model)}, tmp_path / "pred.h5ad", season=CHALLENGE)
    table = score(
        through_vcc(tmp_path / "pred.h5ad", tmp_path), real_cells(dataset, index, [CONTROL, *split.test]), tmp_path
    )
    assert set(table.index) == set(split.test)
    assert table[["overlap_at_N", "discrimination_score_l1", "mae"]].notna().all(axis=None)
    # The mean baseline predicts one delta for all: the discrimination score is at chance, the error is not zero.
    assert table["discrimination_score_l1"].mean() < 0.75
    assert (table["mae"] > 0).all()
    # The generated cells have the predicted pseudobulk, so their official error is that of the pseudobulks.
    expected = np.abs(model.predict(split.test) - index.deltas(list(split.test))).mean(axis=1)
    np.testing.assert_allclose(table.loc[list(split.test), "mae"], expected, atol=2e-3)


@pytest.mark.slow
@pytest.mark.official
def test_a_perfect_prediction_is_perfect(data: tuple[Dataset, Index], tmp_path: Path) -> None:
    dataset, index = data
    labels = index.deg_counts().query("degs > 0")["perturbation"].tolist()[:6]
    real = real_cells(dataset, index, [CONTROL, *labels])
    with CsrWriter(tmp_path / "pred.h5ad", genes=list(dataset.genes), pert_col="target_gene") as writer:
        for label in [CONTROL, *labels]:
            writer.append(real.X[(real.obs["target_gene"] == label).to_numpy()], label)
    table = score(through_vcc(tmp_path / "pred.h5ad", tmp_path), real, tmp_path)
    assert len(table) == len(labels) >= 4
    np.testing.assert_allclose(table["overlap_at_N"], 1)
    np.testing.assert_allclose(table["discrimination_score_l1"], 1)
    np.testing.assert_allclose(table["mae"], 0, atol=1e-6)
