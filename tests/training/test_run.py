"""Runs: what a finished one leaves, how it stands beside the baselines, and how it ends otherwise."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import Split, make_split, write_split
from vccapp.data.workspace import register
from vccapp.errors import DataError, SpecError, Stopped, VccAppError
from vccapp.evaluation.confidence import Confidence
from vccapp.evaluation.limits import compute_limits, drop_untold
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics, summarise
from vccapp.models.base import load_model
from vccapp.models.perturbation_mean import PerturbationMean
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.training import RunSpec, list_runs, load_run, make_run_id, train
from vccapp.training.record import explain_made

LABELS = [f"GENE{i}" for i in range(8)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An indexed toy dataset and its split 's'; runs must not change it."""
    folder = tmp_path_factory.mktemp("workspace")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    write_split(make_split(LABELS, name="s", dataset=dataset.fingerprint, ratio=(0.5, 0.25, 0.25), seed=1), settings)
    return settings


@pytest.fixture
def settings(workspace: Settings, tmp_path: Path) -> Settings:
    """The same workspace, with checkpoints of the test's own."""
    return workspace.model_copy(update={"checkpoints": tmp_path / "checkpoints"})


@pytest.fixture
def spec(settings: Settings) -> RunSpec:
    [fingerprint] = [path.name for path in settings.datasets.iterdir()]
    return RunSpec(model="perturbation_mean", dataset=fingerprint, split="s", title="A first try")


@pytest.mark.parametrize(("model", "same"), [("additive", True), ("bilinear", False), ("knockdown_mean", False)])
def test_a_model_that_tells_no_perturbation_from_others_says_so(spec, settings, model, same):
    """Additive knows no single perturbation of what is held out. Of a baseline nobody expects more."""
    folder = train(spec.model_copy(update={"model": model}), settings, run_id=f"by-{model}")
    run = load_run(folder.name, settings)
    assert (run.same, "the same effect" in explain_made(run)) == (same, same)


@pytest.mark.slow
def test_a_finished_run_is_complete(spec: RunSpec, settings: Settings) -> None:
    run_id = make_run_id(spec, now=datetime(2026, 11, 21, 14, 22, 33, tzinfo=UTC))
    assert run_id.startswith("20261121-142233-perturbation_mean-")
    fractions: list[float] = []
    folder = train(spec, settings, run_id=run_id, progress=lambda fraction, message="": fractions.append(fraction))
    assert folder == settings.checkpoints / run_id
    assert fractions == sorted(fractions) and fractions[-1] == 1
    run = load_run(run_id, settings)
    assert (run.state, run.spec, run.id) == ("finished", spec, run_id)
    assert run.ended >= run.created
    assert (len(run.split.train), len(run.split.val), len(run.split.test)) == (4, 2, 2)
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part")]
    index = load_index(settings.datasets / spec.dataset / "index")
    for part in ("val", "test"):
        labels, deltas = run.prediction(part)
        assert tuple(labels) == getattr(run.split, part)
        expected = load_model(folder / "model", genes=index.genes["gene"].tolist()).predict(labels)
        np.testing.assert_array_equal(deltas, expected)
        scores = compute_metrics(real_profiles(index, labels), predicted_profiles(index, deltas, labels))
        assert set(run.metrics[part]) == {"control_mean", "perturbation_mean", "repeat", "perfect"}
        own = run.metrics[part]["perturbation_mean"]
        assert set(own) == set(scores.columns[2:])
        for name in ("mae", "pearson_delta", "pds", "scouter_nmse"):
            assert own[name] == pytest.approx(scores[name].mean())
        nothing = run.metrics[part]["control_mean"]
        assert nothing["pearson_delta"] is None and nothing["nmse"] == 1
        assert nothing["mae"] == pytest.approx(np.abs(index.deltas(labels)).mean(), rel=1e-5)
        limits = {name: summarise(table) for name, table in compute_limits(index, labels).items()}
        told = drop_untold(limits | {"perturbation_mean": own})
        for name in limits:
            assert run.metrics[part][name] == pytest.approx(told[name])
    assert json.loads((folder / "run.json").read_text())["vccapp"]
    held_out = [*run.split.val, *run.split.test]
    sure = Confidence.of(index, run.split.train, embedding="default").measure(held_out)
    assert list(run.confidence) == held_out and list(run.confidence.values()) == pytest.approx(sure, abs=1e-4)


def test_two_runs_have_two_ids(spec: RunSpec) -> None:
    now = datetime.now(UTC)
    assert len({make_run_id(spec, now=now) for _ in range(20)}) > 1


def test_runs_are_listed_newest_first(spec: RunSpec, settings: Settings) -> None:
    assert list_runs(settings) == []
    for run_id in ("b", "a"):
        train(spec, settings, run_id=run_id)
    (settings.checkpoints / "damaged").mkdir()
    (settings.checkpoints / "damaged" / "run.json").write_text("{")
    runs = list_runs(settings)
    assert [run.id for run in runs] == ["a", "b"]
    assert [found.path.parent.name for found in runs.unreadable] == ["damaged"]


def test_a_step_is_a_line_of_metrics(spec: RunSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from vccapp.models.perturbation_mean import PerturbationMean

    learn = PerturbationMean.learn

    def log_two_steps(self, index, split, fitting):
        learn(self, index, split, fitting)
        fitting.log({"step": 1, "loss": 0.5})
        fitting.log({"step": 2, "loss": fitting.seed})

    monkeypatch.setattr(PerturbationMean, "learn", log_two_steps)
    folder = train(spec.model_copy(update={"seed": 7}), settings, run_id="r")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert [line.pop("seconds") >= 0 for line in logged] == [True, True]
    assert logged == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 7}]


def test_a_stopped_run_says_so(spec: RunSpec, settings: Settings) -> None:
    def stop(fraction: float, message: str = "") -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(spec, settings, run_id="r", progress=stop)
    run = load_run("r", settings)
    assert run.state == "stopped"
    with refusal(SpecError, "not_finished"):
        run.prediction("test")


def test_a_failed_run_says_why(spec: RunSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SpecError("nothing", "There is nothing to learn")

    monkeypatch.setattr(PerturbationMean, "learn", fail)
    with refusal(SpecError, "nothing"):
        train(spec, settings, run_id="r")
    run = load_run("r", settings)
    assert run.state == "failed" and "nothing to learn" in run.reason


def test_what_cannot_train_leaves_no_run(spec: RunSpec, settings: Settings) -> None:
    failing = spec.model_copy(update={"model": "knockdown_mean", "params": {"min_control_mean": 99}})
    with refusal(SpecError, "no_measured_target"):
        train(failing, settings, run_id="r")
    assert not (settings.checkpoints / "r").exists()


@pytest.mark.slow
def test_a_killed_run_is_interrupted_and_a_living_one_runs(spec: RunSpec, settings: Settings) -> None:
    code = (
        "import sys, time\n"
        "from vccapp.settings import Settings\n"
        "from vccapp.training import RunSpec, train\n"
        "def wait(fraction, message=''):\n"
        "    print('training', flush=True)\n"
        "    time.sleep(60)\n"
        "train(RunSpec.model_validate_json(sys.argv[1]), Settings(), run_id='r', progress=wait)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, spec.model_dump_json()],
        stdout=subprocess.PIPE,
        env={"VCCAPP_HOME": str(settings.home), "VCCAPP_CHECKPOINTS": str(settings.checkpoints)},
        cwd=ROOT,
    )
    try:
        assert process.stdout.readline() == b"training\n"
        assert load_run("r", settings).state == "running"
    finally:
        process.kill()
        process.communicate()
    assert load_run("r", settings).state == "interrupted"
    assert json.loads((settings.checkpoints / "r" / "run.json").read_text())["state"] == "running"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "none"}, "unknown_name"),
        ({"params": {"depth": 3}}, "bad_parameter"),
        ({"dataset": "f" * 16}, "no_index"),
        ({"split": "none"}, "unknown_split"),
    ],
)
def test_wrong_choices_leave_nothing(change: dict, code: str, spec: RunSpec, settings: Settings) -> None:
    with refusal(VccAppError, code):
        train(spec.model_copy(update=change), settings, run_id="r")
    assert not settings.checkpoints.exists()


def test_a_split_of_other_data_or_with_a_leak_is_refused(spec: RunSpec, settings: Settings) -> None:
    parts = {"method": "lists", "seed": 0, "train": ("GENE0",), "val": ("GENE1",)}
    write_split(Split(name="other", dataset="f" * 16, test=("GENE2",), **parts), settings)
    write_split(Split(name="leak", dataset=spec.dataset, test=("GENE0",), **parts), settings)
    for name, code in {"other": "data_changed", "leak": "repeated_perturbation"}.items():
        with pytest.raises(SpecError) as refused:
            train(spec.model_copy(update={"split": name}), settings, run_id="r")
        assert refused.value.code == code
    assert not settings.checkpoints.exists()


def test_ids_are_checked(spec: RunSpec, settings: Settings) -> None:
    train(spec, settings, run_id="r")
    with pytest.raises(SpecError) as refused:
        train(spec, settings, run_id="r")
    assert refused.value.code == "run_exists"
    with refusal(SpecError, "bad_run_id"):
        load_run("../r", settings)
    with refusal(SpecError, "unknown_run"):
        load_run("q", settings)


def test_predictions_that_are_no_numbers_are_not_kept(
    spec: RunSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(self: PerturbationMean, perturbations: list[str]) -> np.ndarray:
        return np.where(np.array(perturbations)[:, None] == perturbations[-1], np.nan, np.zeros((1, 5), np.float32))

    monkeypatch.setattr(PerturbationMean, "predict", predict)
    with refusal(SpecError, "prediction_not_finite") as caught:
        train(spec, settings, run_id="wrong")
    run = load_run("wrong", settings)
    assert (run.state, caught.value.found) == ("failed", 1) and run.split.test[-1] in run.reason
    assert not (run.folder / "prediction").exists()


@pytest.mark.parametrize("how", ["deleted", "moved", "made anew"])
@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_run_whose_folder_goes_fails_as_such_and_is_never_finished(
    how: str, moment: int, spec: RunSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vccapp.training.run.LOOK_SECONDS", -1.0)
    folder, looks = settings.checkpoints / "gone", 0

    def remove(fraction: float, message: str = "") -> None:
        nonlocal looks
        looks += 1
        if looks == moment + 1:
            shutil.move(folder, folder.with_name("elsewhere")) if how == "moved" else shutil.rmtree(folder)
            if how == "made anew":
                folder.mkdir()

    with refusal(DataError, "run_gone"):
        train(spec, settings, run_id="gone", progress=remove)
    assert looks > moment
    [*found] = list_runs(settings)
    assert [run.state for run in found] == (["interrupted"] if how == "moved" else []) or found[0].id == "elsewhere"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_run_that_may_not_be_read_is_listed_as_such(spec: RunSpec, settings: Settings) -> None:
    folder = train(spec, settings, run_id="closed")
    folder.chmod(0)
    try:
        runs = list_runs(settings)
        assert not runs and [found.path.parent for found in runs.unreadable] == [folder]
    finally:
        folder.chmod(0o755)
