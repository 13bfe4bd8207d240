"""Calibrated runs: they score as their curves say, never pass for the run they came from, and see no test cells."""

import json
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.splits.folds import fold_split
from vccapp.data.splits.split import make_folds, split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import SpecError
from vccapp.evaluation.calibration.curves import CHOSEN, draw_curves
from vccapp.evaluation.calibration.pool import METRICS
from vccapp.models.base import load_model
from vccapp.models.calibration.setting import Setting
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.tasks.calibrate import Calibrate
from vccapp.training import RunSpec, check_run, list_runs, load_run, train
from vccapp.training.choosing.calibrate import calibrated_spec, find_fellows, find_held_out, open_pool
from vccapp.training.results.own_scores import compute_own_scores
from vccapp.training.runs.naming import describe_run

LABELS = [f"GENE{i}" for i in range(10)]
SETTING = Setting(amplitude=0.6, components=2, shared=0.4, shrinkage=0.5, target_level=0.2)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Toy data with a split 's', three folds of it, and the model `knockdown_mean` on each."""
    folder = tmp_path_factory.mktemp("calibrate")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(n_cells=700, n_perturbations=10).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    data = dataset.fingerprint
    split = split_from_lists(name="s", dataset=data, train=LABELS[:5], val=LABELS[5:8], test=LABELS[8:])
    folds = {f"fold{i}": own for i, own in enumerate(fold_split(split, 3))}
    for name, own in ({"base": split} | folds).items():
        write_split(own, settings)
        train(RunSpec(model="knockdown_mean", dataset=data, split=own.name), settings, run_id=name)
    return settings


@pytest.fixture(scope="module")
def index(settings: Settings) -> Index:
    [data] = settings.datasets.iterdir()
    return load_index(data / "index")


def calibrate(settings: Settings, run: str, setting: Setting, fellows: tuple[str, ...] = ()) -> str:
    task = Calibrate(run_id=run, fellows=fellows, setting=setting.changed)
    task.check(settings)
    return task.run(settings, lambda *_: None).run


def test_a_rebuilt_prediction_scores_as_the_curves_said(settings: Settings, index: Index) -> None:
    run = load_run("base", settings)
    opened = open_pool(index, find_held_out(run))
    told = draw_curves(opened.pool, SETTING, opened.references).scores.set_index("source").loc[CHOSEN]
    made = load_run(calibrate(settings, "base", SETTING), settings)
    for metric in METRICS:
        assert made.metrics["val"]["calibrated"][metric] == pytest.approx(told[metric], rel=0, abs=1e-9)
    assert made.metrics["val"]["knockdown_mean"] == run.metrics["val"]["knockdown_mean"]  # what it came from, beside it


def test_folds_are_pooled_and_score_together_as_the_curves_said(settings: Settings, index: Index) -> None:
    names = ["fold0", "fold1", "fold2"]
    run = load_run("fold0", settings)
    held_out = find_held_out(run, find_fellows(run, list_runs(settings)))
    assert set(held_out.labels) == set(LABELS[:8])
    opened = open_pool(index, held_out)
    made = [
        load_run(calibrate(settings, name, SETTING, tuple(set(names) - {name})), settings).prediction("val")
        for name in names
    ]
    labels = [label for own, _ in made for label in own]
    table = compute_own_scores(index, labels, np.concatenate([deltas for _, deltas in made]))
    np.testing.assert_allclose(opened.pool.score(SETTING), table[list(METRICS)], rtol=0, atol=1e-9)


def test_it_stands_alone_and_says_what_it_is(settings: Settings, index: Index, tmp_path: Path) -> None:
    made = load_run(calibrate(settings, "base", SETTING), settings)
    expected = np.concatenate([made.prediction(part)[1] for part in ("val", "test")])
    (settings.checkpoints / "base").rename(tmp_path / "base")
    try:
        model = load_model(made.folder / "model", genes=index.genes["gene"].tolist())
        np.testing.assert_array_equal(model.predict(LABELS[5:]), expected)
        assert not model.predict([CONTROL]).any()
    finally:
        (tmp_path / "base").rename(settings.checkpoints / "base")
    assert "Calibrated" in describe_run(made) and "amplitude 0.6" in made.title
    record = json.loads((made.folder / "run.json").read_text())
    assert record["spec"]["params"]["setting"] == SETTING.changed
    assert record["spec"]["params"]["chosen_on"] == LABELS[5:8]
    assert any(known["tuned"] == LABELS[5:8] for known in record["seen"][1:])


def test_each_knob_does_what_it_says(settings: Settings, index: Index) -> None:
    base = load_model(settings.checkpoints / "base" / "model")
    pool = open_pool(index, find_held_out(load_run("base", settings))).pool
    labels, genes = list(pool.labels), index.genes["gene"].tolist()
    own = np.zeros((len(labels), len(genes)), bool)
    own[range(len(labels)), [genes.index(label) for label in labels]] = True
    before, control = base.predict(labels), index.control_means(labels)
    np.testing.assert_array_equal(pool.predict(Setting()), before)
    doubled = pool.predict(Setting(amplitude=2))
    np.testing.assert_array_equal(doubled[~own], 2 * before[~own])
    np.testing.assert_array_equal(doubled[own], before[own])
    level = pool.predict(Setting(target_level=0.25))
    np.testing.assert_allclose(np.expm1(level + control)[own], 0.25 * np.expm1(control)[own], rtol=1e-5)
    np.testing.assert_array_equal(level[~own], before[~own])
    learnt = np.isin(genes, LABELS[:5])  # in the mean effect the own targets of what was learnt from are masked
    np.testing.assert_allclose(pool.predict(Setting(shared=1))[~own & ~learnt], 0, atol=1e-6)
    assert np.abs(pool.predict(Setting(shared=1))[:, learnt]).max() > 0.05  # which this model's mean does not do
    [components] = pool.parts[0][1].basis.components
    np.testing.assert_allclose(components @ components.T, np.eye(len(components)), atol=1e-5)
    cells = index.cell_values(np.flatnonzero(index.cells["perturbation"] == index.controls[0]))
    spread = np.linalg.svd(cells - cells.mean(axis=1, keepdims=True))[1] ** 2
    np.testing.assert_allclose(np.square(components @ (cells - cells.mean(axis=1, keepdims=True))).sum(axis=1),
                               spread[: len(components)], rtol=1e-4)  # fmt: skip
    without = np.where(own, 0, before)
    left = pool.predict(Setting(components=3))
    np.testing.assert_allclose(left[~own], (without - (without @ components[:3].T) @ components[:3])[~own], atol=1e-6)
    shrunk = pool.predict(Setting(shrinkage=1))
    reliability = np.broadcast_to(pool.parts[0][1].basis.reliability, own.shape)
    assert (reliability.min(), reliability.max()) >= (0, 0) and reliability.max() <= 1
    np.testing.assert_allclose(shrunk[~own], (before * reliability)[~own], rtol=1e-5, atol=1e-8)


def test_what_would_deceive_is_refused(settings: Settings, index: Index) -> None:
    run = load_run("base", settings)
    held_out = find_held_out(run)
    with refusal(SpecError, "nothing_calibrated"):
        check_run(calibrated_spec(held_out, Setting(), title="same"), settings)
    spec = calibrated_spec(held_out, SETTING)
    seen_test = spec.model_copy(update={"params": spec.params | {"chosen_on": LABELS[6:9]}})
    with refusal(SpecError, "source_saw_held_out"):
        check_run(seen_test, settings)
    made = load_run(calibrate(settings, "base", SETTING), settings)
    with refusal(SpecError, "calibrated_twice"):
        find_held_out(made)
    folds = make_folds(LABELS, name="f", dataset=run.spec.dataset, k=3)
    for fold in folds[:2]:
        write_split(fold, settings)
        train(RunSpec(model="knockdown_mean", dataset=fold.dataset, split=fold.name), settings, run_id=fold.name)
    one, two = (load_run(fold.name, settings) for fold in folds[:2])
    assert two.id not in [
        fellow.id for fellow in find_fellows(one, list_runs(settings))
    ]  # it learnt from what one tests
    with refusal(SpecError, "not_a_fellow"):
        find_held_out(one, [two])
