"""Scores of a run's cells: the pair of files, the official tools through jobs, and what a killed job leaves."""

import csv
import os
import signal
import sys
import time
from pathlib import Path

import anndata as ad
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refusal

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import ResourceError, SpecError
from vccapp.evaluation.scorers.base import cell_scorers, refuse_memory
from vccapp.evaluation.scorers.process import find_command, scale_score
from vccapp.jobs.host import MARK
from vccapp.jobs.job import Job
from vccapp.jobs.local import reconcile, start_job, stop_job
from vccapp.jobs.store import JobStore
from vccapp.models.base import load_model
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.tasks.score import ScoreRun
from vccapp.training import RunRecord, RunSpec, load_run, train
from vccapp.training.results.score_run import make_pair, score_run, write_pair
from vccapp.training.results.scores import list_scores, load_score


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Indexed toy data and the run 'r', which predicts six perturbations from two."""
    folder = tmp_path_factory.mktemp("score")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    simulate(SimulationSpec(n_cells=700, n_genes=150, n_perturbations=8, weakest=0.3), folder / "cells.h5ad")
    dataset = open_dataset(folder / "cells.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    labels = [label for label in dataset.cells["perturbation"].cat.categories if label != CONTROL]
    write_split(split_from_lists(name="s", dataset=dataset.fingerprint, train=labels[:2], test=labels[2:]), settings)
    train(RunSpec(model="perturbation_mean", dataset=dataset.fingerprint, split="s"), settings, run_id="r")
    return settings


@pytest.fixture
def run(settings: Settings) -> RunRecord:
    return load_run("r", settings)


@pytest.fixture
def dataset(settings: Settings) -> Dataset:
    return open_dataset(settings.data_roots[0] / "cells.h5ad")


@pytest.fixture
def index(settings: Settings, run: RunRecord) -> Index:
    return load_index(settings.datasets / run.spec.dataset / "index")


def scratch_of(settings: Settings) -> list[Path]:
    return list(settings.home.glob(".vccapp.*.part"))


def wait(settings: Settings, job: Job, *, message: str | None = None, seconds: float = 400) -> Job:
    """Until the job has ended, or says `message`."""
    give_up = time.monotonic() + seconds
    with JobStore(settings) as store:
        while (found := store.get(job.id)).active and not (message and message in found.message):
            assert time.monotonic() < give_up, f"{found.message}\n{store.read_log(job.id)}"
            time.sleep(0.1)
            reconcile(settings)
        assert message is None or found.active, found.reason
    return found


def all_gone(job: Job, *, seconds: float = 20) -> bool:
    """Whether every process of the job, the scorer too, ends within some time."""
    give_up = time.monotonic() + seconds
    while any((p.info["environ"] or {}).get(MARK) == job.id for p in psutil.process_iter(["environ"])):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def read_rows(path: Path, key: str) -> dict[str, dict[str, str]]:
    with path.open() as file:
        return {row[key]: row for row in csv.DictReader(file)}


@pytest.mark.slow
@pytest.mark.parametrize("space", ["log1p", "counts"])
def test_the_pair_holds_the_same_controls_and_as_many_cells(settings, run, dataset, index, tmp_path, space) -> None:
    model, labels = load_model(run.folder / "model"), run.prediction("test")[0]
    pair = make_pair(dataset, index, model, labels, max_cells=20, max_controls=50, seed=1)
    write_pair(pair, tmp_path / "p.h5ad", tmp_path / "r.h5ad", space=space)
    predicted, real = ad.read_h5ad(tmp_path / "p.h5ad"), ad.read_h5ad(tmp_path / "r.h5ad")
    counts = [data.obs["target_gene"].value_counts().to_dict() for data in (predicted, real)]
    there = dataset.cells["perturbation"].value_counts()
    assert counts[0] == counts[1] == {CONTROL: 50} | {label: min(20, there[label]) for label in labels}
    own, true = (data[data.obs["target_gene"] == CONTROL].X.toarray() for data in (predicted, real))
    np.testing.assert_array_equal(own, true)
    stored = dataset.read_rows(range(dataset.n_cells))
    stored = (stored if space == "counts" else index.normalise(stored, np.arange(dataset.n_cells))).toarray()
    known = {row.tobytes(): label for row, label in zip(stored, dataset.cells["perturbation"], strict=True)}
    assert [known[row.tobytes()] for row in real.X.toarray()] == list(real.obs["target_gene"])
    if space == "counts":
        assert (predicted.X.data == np.rint(predicted.X.data)).all() and predicted.X.data.min() >= 1
        cells = predicted[50:].X.toarray()
        assert len(np.unique(np.column_stack([cells, predicted.obs["target_gene"].cat.codes[50:]]), axis=0)) == len(
            cells
        )
        depth = np.asarray(predicted.X.sum(axis=1)).ravel()
        assert 0.5 < np.median(depth[50:]) / np.median(depth[:50]) < 2


@pytest.mark.official
@pytest.mark.slow
def test_cell_eval_through_a_job(settings, run, tmp_path) -> None:
    task = ScoreRun(run_id="r", max_cells=40, keep=tmp_path)
    job = wait(settings, start_job(settings, task))
    assert job.state == "succeeded", job.reason
    score, table = load_score(run, "cell-eval", "test")
    assert (score.scorer_version, score.settings["profile"]) == ("0.8.2", "vcc") and "pdex" in score.settings["backend"]
    assert job.result["means"] == score.means
    own, base = (read_rows(tmp_path / side / "agg_results.csv", "statistic")["mean"] for side in ("own", "base"))
    assert score.means == {name: float(own[name]) for name in ("overlap_at_N", "mae", "discrimination_score_l1")}
    assert score.baseline == {name: float(base[name]) for name in score.means}
    rows = read_rows(tmp_path / "own" / "results.csv", "perturbation")
    for values in table.to_dict("records"):
        assert values["mae"] == float(rows[values["perturbation"]]["mae"])
    scaled = {name: float(row["from_baseline"]) for name, row in read_rows(tmp_path / "scaled.csv", "metric").items()}
    assert {name: value.clipped for name, value in score.scaled.items()} == scaled and "avg_score" in scaled
    for name, value in score.scaled.items():
        assert value.clipped == pytest.approx(max(value.raw, 0), abs=1e-12) or name == "avg_score"
    assert score.scaled["mae"].raw == pytest.approx(1 - score.means["mae"] / score.baseline["mae"])
    assert not scratch_of(settings) and not list(tmp_path.rglob("*.h5ad"))
    assert "--profile vcc" in (tmp_path / "log.txt").read_text()

    ours = score_run("r", "test", "vccapp", settings, max_cells=40)  # the same cells by our own computation
    theirs = {"des": "overlap_at_N", "pds": "discrimination_score_l1", "mae": "mae"}
    for name, official in theirs.items():
        assert ours.means[name] == pytest.approx(score.means[official], rel=1e-5, abs=1e-6)
    assert {found.scorer for found in list_scores(settings, dataset=run.spec.dataset)} >= {"vccapp", "cell-eval"}
    assert list_scores(settings, dataset="another") == []


@pytest.mark.official
@pytest.mark.slow
def test_cell_eval2_through_a_job(settings, run, tmp_path) -> None:
    task = ScoreRun(run_id="r", scorer="cell-eval2", max_cells=40, keep=tmp_path)
    job = wait(settings, start_job(settings, task))
    assert job.state == "succeeded", job.reason
    score, table = load_score(run, "cell-eval2", "test")
    assert (score.scorer_version, score.settings["preset"]) == ("0.20.0", "vcc2026") and "cpu" in score.settings[
        "backend"
    ]
    assert len(score.settings["digest"]) == 16
    own = read_rows(tmp_path / "own" / "agg_results.csv", "statistic")["mean"]
    assert score.means == {name: float(value) for name, value in own.items() if name != "statistic"}
    with (tmp_path / "own" / "results.csv").open() as file:
        values = {(row["perturbation"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    tidy = table.melt("perturbation", var_name="metric").dropna()
    assert {(row.perturbation, row.metric): row.value for row in tidy.itertuples()} == values
    scaled = {name: float(row["from_baseline"]) for name, row in read_rows(tmp_path / "scaled.csv", "metric").items()}
    assert {name: value.clipped for name, value in score.scaled.items()} == scaled
    assert score.scaled["pds_cosine"].raw == pytest.approx(scaled["pds_cosine"])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_ended_job_leaves_no_score(settings, run, how) -> None:
    (run.folder / "scores" / "cell-eval-test.json").unlink(missing_ok=True)
    job = wait(settings, start_job(settings, ScoreRun(run_id="r", max_cells=20)), message="cell-eval:")
    if how == "stop":
        stop_job(settings, job.id)
    else:
        os.kill(job.pid, signal.SIGKILL)
    ended = wait(settings, job)
    assert ended.state == ("stopped" if how == "stop" else "lost")
    assert all_gone(job), "the scorer outlives its job"
    assert not (run.folder / "scores" / "cell-eval-test.json").exists()
    with refusal(SpecError, "no_score"):
        load_score(run, "cell-eval", "test")
    score_run("r", "test", "vccapp", settings, max_cells=10)
    assert not scratch_of(settings)  # what the killed job left is gone


def test_too_little_memory_is_refused_with_an_offer(settings, run) -> None:
    little = settings.model_copy(update={"memory_gb": 0.4008})
    with refusal(ResourceError, "memory"):
        score_run("r", "test", "cell-eval", little)
    assert not scratch_of(settings)


@given(
    st.sampled_from(sorted(cell_scorers(official=True))),
    st.integers(1, 200),
    st.integers(1, 2000),
    st.integers(1, 40_000),
    st.floats(1e9, 1e10),
)
def test_the_offer_fits(name: str, n_labels: int, n_cells: int, n_controls: int, memory: float) -> None:
    cells, scorer = dict.fromkeys(map(str, range(n_labels)), n_cells), cell_scorers()[name]
    try:
        refuse_memory(scorer, cells, n_controls, 18_080, memory_bytes=int(memory))
    except ResourceError as error:
        words = str(error).replace(")", " ").split()
        if "--max-cells" in words or "(--max-cells" in words:
            few = int(words[[w.endswith("--max-cells") for w in words].index(True) + 1])
            few_controls = int(words[words.index("--max-controls") + 1])
            fewer = dict.fromkeys(cells, min(few, n_cells))
            refuse_memory(scorer, fewer, min(few_controls, n_controls), 18_080, memory_bytes=int(memory))


def test_a_missing_command_is_said(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with refusal(SpecError, "scorer_missing") as refused:
        find_command("cell-eval2")
    assert refused.value.code == "scorer_missing"


def test_wrong_choices(settings, run) -> None:
    with refusal(SpecError, "nothing_predicted"):
        score_run("r", "val", "cell-eval", settings)
    with refusal(SpecError, "unknown_name"):
        score_run("r", "test", "other", settings)


@pytest.mark.parametrize(
    ("value", "baseline", "best", "expected"),
    [(0.05, 0.1, 0.0, 0.5), (0.2, 0.1, 0.0, -1.0), (0.6, 0.2, 1.0, 0.5), (None, 0.2, 1.0, None), (0.5, 1.0, 1.0, None)],
)
def test_scaled_scores(value, baseline, best, expected) -> None:
    found = scale_score(value, baseline, best=best)
    assert found == (None if expected is None else pytest.approx(expected))
