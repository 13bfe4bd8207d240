"""Predictions made elsewhere as runs: what they predict, which cells they give, how they are judged and submitted."""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from places import ASSETS
from refusals import refusal
from scipy.sparse import csr_matrix, vstack

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import DataError, ResourceError, SpecError
from vccapp.models.base import Model, load_model
from vccapp.models.imported import ImportedSpec
from vccapp.seasons.base import SEASONS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.submission.budget import observed_counts
from vccapp.submission.build import build_submission
from vccapp.submission.plan import write_plan
from vccapp.submission.planning.make import make_plan
from vccapp.training import load_run
from vccapp.training.cells import iter_cells
from vccapp.training.diagnose import diagnose_run
from vccapp.training.import_prediction import check_import, import_prediction
from vccapp.training.results.score_run import score_run

HELD_OUT = ["GENE130", "GENE146"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The simulated data that the files in tests/assets predict, indexed, with the split 's'."""
    folder = tmp_path_factory.mktemp("import")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    simulate(SimulationSpec(n_cells=600, n_genes=150, n_perturbations=6), folder / "cells.h5ad")
    dataset = open_dataset(folder / "cells.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    others = [label for label in dataset.cells["perturbation"].cat.categories if label not in (CONTROL, *HELD_OUT)]
    split = split_from_lists(name="s", dataset=dataset.fingerprint, train=others[1:], val=others[:1], test=HELD_OUT)
    write_split(split, settings)
    return settings


@pytest.fixture
def settings(workspace: Settings, tmp_path: Path) -> Settings:
    return workspace.model_copy(update={"checkpoints": tmp_path / "checkpoints"})


@pytest.fixture
def dataset(workspace: Settings) -> Dataset:
    return open_dataset(workspace.data_roots[0] / "cells.h5ad")


@pytest.fixture
def index(workspace: Settings, dataset: Dataset) -> Index:
    return load_index(workspace.datasets / dataset.fingerprint / "index")


def write(path: Path, dataset: Dataset, labels: list[str], *, log1p: Index | None = None, n: int = 15) -> ad.AnnData:
    """The first `n` real cells of each label as a prediction: counts, or log1p values as the index has them."""
    perturbation = dataset.cells["perturbation"].to_numpy(str)
    rows = np.concatenate([np.flatnonzero(perturbation == label)[:n] for label in labels])
    x = dataset.read_rows(rows)
    x = x if log1p is None else csr_matrix(log1p.normalise(x, rows))
    obs = pd.DataFrame({"perturbation": perturbation[rows]}, index=rows.astype(str))
    data = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=dataset.genes))
    data.write_h5ad(path)
    return data


def load(run_id: str, settings: Settings) -> Model:
    return load_model(settings.checkpoints / run_id / "model")


@pytest.mark.slow
def test_deltas_are_those_of_the_files_cells(settings, dataset, index, tmp_path) -> None:
    written = write(tmp_path / "theirs.h5ad", dataset, [*HELD_OUT, CONTROL], log1p=index)
    run_id, notes = import_prediction(tmp_path / "theirs.h5ad", settings, dataset=dataset.fingerprint, split="s")
    run = load_run(run_id, settings)
    assert (run.state, run.spec.model, run.spec.title) == ("finished", "imported", "theirs")
    labels, deltas = run.prediction("test")
    assert labels == HELD_OUT
    for label, delta in zip(labels, deltas, strict=True):
        cells = written.X[(written.obs["perturbation"] == label).to_numpy()].toarray()
        np.testing.assert_allclose(delta, cells.mean(axis=0) - index.control_mean, atol=1e-5)
    assert run.prediction("val") == ([], pytest.approx(np.zeros((0, 150))))
    assert any("1 held-out perturbations are not in the file" in note for note in notes)
    assert set(run.metrics) == {"test"} and "control_mean" in run.metrics["test"]
    assert diagnose_run(run_id, "test", settings)


@pytest.mark.slow
@pytest.mark.parametrize("inside", [True, False])
def test_a_link_is_followed_into_the_data_roots_alone(settings, dataset, index, tmp_path, inside) -> None:
    written = write(tmp_path / "cells.h5ad", dataset, HELD_OUT, log1p=index)
    written.write_h5ad(tmp_path / "theirs.h5ad")
    with h5py.File(tmp_path / "theirs.h5ad", "r+") as file:
        del file["X"]
        file["X"] = h5py.ExternalLink(str(tmp_path / "cells.h5ad"), "/X")
    own = settings.model_copy(update={"data_roots": (tmp_path,)} if inside else {})
    if not inside:
        with refusal(DataError, "link_outside"):
            import_prediction(tmp_path / "theirs.h5ad", own, dataset=dataset.fingerprint, split="s")
        return
    run_id, _ = import_prediction(tmp_path / "theirs.h5ad", own, dataset=dataset.fingerprint, split="s")
    plain, _ = import_prediction(tmp_path / "cells.h5ad", own, dataset=dataset.fingerprint, split="s")
    deltas = [load_run(run, own).prediction("test")[1] for run in (run_id, plain)]
    np.testing.assert_array_equal(*deltas)


@pytest.mark.parametrize(("times", "says"), [(0.1, "0.1 times"), (3.0, "3 times"), (1.0, "")])
def test_another_depth_than_the_datasets_is_told(settings, dataset, index, tmp_path, times, says) -> None:
    written = write(tmp_path / "theirs.h5ad", dataset, HELD_OUT, log1p=index)
    for genes in (slice(None), slice(0, 120)):
        own = written[:, genes].copy()
        own.X = csr_matrix(np.log1p(np.expm1(own.X.toarray()) * times).astype(np.float32))
        own.write_h5ad(tmp_path / "theirs.h5ad")
        spec = ImportedSpec(file=str(tmp_path / "theirs.h5ad"))
        predicted, _ = check_import(spec, settings, dataset=dataset.fingerprint, split="s")
        told = [note for note in predicted.notes if note.startswith("The scale")]
        assert len(told) == bool(says)
        assert genes != slice(None) or all(says in note for note in told)


@pytest.mark.slow
def test_counts_and_log1p_are_the_same_prediction(settings, dataset, index, tmp_path) -> None:
    deltas = []
    for name, log1p in {"counts": None, "log1p": index}.items():
        write(tmp_path / f"{name}.h5ad", dataset, HELD_OUT, log1p=log1p)
        run_id, _ = import_prediction(tmp_path / f"{name}.h5ad", settings, dataset=dataset.fingerprint, split="s")
        deltas.append(load_run(run_id, settings).prediction("test")[1])
    np.testing.assert_allclose(*deltas, atol=1e-5)


def test_cells_are_the_files_own_none_twice_before_all(settings, dataset, index, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("vccapp.training.cells.BLOCK_VALUES", 500)  # many parts
    written = write(tmp_path / "theirs.h5ad", dataset, HELD_OUT)
    run_id, _ = import_prediction(tmp_path / "theirs.h5ad", settings, dataset=dataset.fingerprint, split="s")
    model, rng = load(run_id, settings), np.random.default_rng(0)
    assert (model.available_cells("GENE130"), model.available_cells("GENE1")) == (15, 0)
    blocks = list(iter_cells(dataset, index, model, {"GENE130": 20}, seed=0))
    assert len(blocks) > 3
    own = written.X[(written.obs["perturbation"] == "GENE130").to_numpy()].toarray()
    counts = vstack([made.to_counts(rng) for _, made in blocks]).toarray()
    np.testing.assert_array_equal(counts, np.vstack([own, own[:5]]))  # to the last count
    with refusal(SpecError, "perturbation_not_imported"):
        model.predict(["GENE1"])


def test_missing_genes_are_those_of_the_controls(settings, dataset, index, tmp_path) -> None:
    written = write(tmp_path / "all.h5ad", dataset, HELD_OUT, log1p=index)
    present = np.arange(150) % 3 > 0
    written[:, present].copy().write_h5ad(tmp_path / "some.h5ad")
    run_id, notes = import_prediction(tmp_path / "some.h5ad", settings, dataset=dataset.fingerprint, split="s")
    assert any("50 of the dataset's 150 genes are missing" in note for note in notes)
    model = load(run_id, settings)
    assert not model.predict(HELD_OUT)[:, ~present].any()
    controls = csr_matrix(index.normalise(dataset.read_rows(range(10)), np.arange(10)))
    cells = model.cells("GENE130", controls).toarray()
    own = written.X[(written.obs["perturbation"] == "GENE130").to_numpy()].toarray()[:10]
    np.testing.assert_array_equal(cells[:, present], own[:, present])
    np.testing.assert_array_equal(cells[:, ~present], controls.toarray()[:, ~present])


@pytest.mark.slow
def test_an_import_is_submitted_like_any_run(settings, dataset, index, tmp_path) -> None:
    write(tmp_path / "theirs.h5ad", dataset, HELD_OUT, log1p=index, n=30)
    run_id, _ = import_prediction(tmp_path / "theirs.h5ad", settings, dataset=dataset.fingerprint, split="s")
    counts = observed_counts(index.perturbations, HELD_OUT)
    plan = make_plan(index, run_id, counts, season=SEASONS["vcc2025"], settings=settings, practice=True)
    write_plan(plan, settings)
    report = build_submission(plan, settings)
    assert {check["status"] for check in report["checks"]} <= {"ok", "warning", "skipped"}
    made = ad.read_h5ad(settings.submissions / plan.id / "pred.h5ad")
    mean = np.asarray(made[made.obs["target_gene"] == "GENE130"].X.mean(axis=0)).ravel()
    assert np.corrcoef(mean, index.means(["GENE130"])[0])[0, 1] > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "choices", "present"),
    [
        ("state_predict.h5ad", {}, 150),
        ("state_infer.h5ad", {"matrix": "obsm/X_hvg", "split": "s"}, 60),
        ("scouter_pred.h5ad", {}, 150),
    ],
)
def test_what_other_tools_write_is_imported_and_scored(settings, dataset, name, choices, present) -> None:
    run_id, _ = import_prediction(ASSETS / name, settings, dataset=dataset.fingerprint, **choices)
    labels, deltas = load_run(run_id, settings).prediction("test")
    assert sorted(labels) == HELD_OUT and np.isfinite(deltas).all()
    assert (np.abs(deltas).max(axis=0) > 0).sum() <= present
    assert any(
        finding.status == "problem" for finding in diagnose_run(run_id, "test", settings)
    )  # trained for a minute
    for season, names in {"2025": ("des", "pds", "mae"), "2026": ("pds_cosine", "jaccard")}.items():
        score = score_run(run_id, "test", "vccapp", settings, season=season, max_cells=10)
        assert score.n_perturbations == 2 and 12 <= score.n_cells["predicted"] <= 20
        assert all(np.isfinite(score.means[metric]) for metric in names)


def test_refusals_come_before_anything_is_written(settings, dataset, index, tmp_path) -> None:
    everything = [label for label in index.labels if label != CONTROL]
    write(tmp_path / "every.h5ad", dataset, everything)
    write(tmp_path / "trained.h5ad", dataset, [label for label in everything if label not in HELD_OUT][1:])
    fingerprint = dataset.fingerprint
    with refusal(DataError, "needs_split"):
        import_prediction(tmp_path / "every.h5ad", settings, dataset=fingerprint)
    with refusal(DataError, "no_held_out_cells"):
        import_prediction(tmp_path / "trained.h5ad", settings, dataset=fingerprint, split="s")
    with refusal(SpecError, "no_index"):
        import_prediction(tmp_path / "every.h5ad", settings, dataset="f" * 16)
    small = settings.model_copy(update={"memory_gb": 1e-6})
    with refusal(ResourceError, "memory"):
        import_prediction(tmp_path / "every.h5ad", small, dataset=fingerprint, split="s")
    assert not settings.checkpoints.exists()
