"""Files of ours that were edited: whatever stands in them, they are read or refused in a sentence of ours."""

import copy
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archived import unpack
from refusals import refusal
from toy_index import ToyIndex

from vccapp.data.splits.split import list_splits
from vccapp.data.workspace import list_datasets
from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.evaluation.profiles import predicted_profiles
from vccapp.models.base import load_model
from vccapp.neural.fitting.checkpoint import find_checkpoint, read_checkpoint
from vccapp.settings import Settings
from vccapp.stats.index import load_index
from vccapp.stats.store import GeneStore
from vccapp.submission.plan import Plan, list_plans, load_plan
from vccapp.submission.report import list_reports
from vccapp.training import list_runs
from vccapp.training.results.entered import list_results
from vccapp.training.results.scores import list_scores
from vccapp.training.runs.notes import set_tags

VALUES = [None, "x", -5, 1.5, math.nan, [], {}, [None], True, 10**30]


def runs_of(settings: Settings) -> dict[str, Any]:
    return {run.spec.title: run for run in list_runs(settings)}


def data_of(settings: Settings) -> str:
    return runs_of(settings)["ridge"].spec.dataset


def checkpoint_of(settings: Settings) -> Path:
    found = find_checkpoint(runs_of(settings)["interrupted"].folder / "checkpoint")
    assert found is not None
    return found


def use_plans(settings: Settings) -> None:
    for plan in list_plans(settings):
        assert plan.estimate.disk_bytes > 0 and plan.alpha >= 0


READ: dict[str, tuple[Callable[[Settings], Path], Callable[[Settings], Any]]] = {
    "run": (lambda s: runs_of(s)["bilinear"].folder / "run.json", list_runs),
    "notes": (lambda s: runs_of(s)["ridge"].folder / "notes.json", list_runs),
    "score": (lambda s: runs_of(s)["ridge"].folder / "scores/pseudobulks-test.json", list_scores),
    "prediction": (
        lambda s: runs_of(s)["ridge"].folder / "prediction/perturbations.json",
        lambda s: runs_of(s)["ridge"].prediction("test"),
    ),
    "model": (
        lambda s: runs_of(s)["ridge"].folder / "model/model.json",
        lambda s: load_model(runs_of(s)["ridge"].folder / "model"),
    ),
    "checkpoint": (lambda s: checkpoint_of(s) / "state.json", lambda s: read_checkpoint(checkpoint_of(s))),
    "plan": (lambda s: s.submissions / "mine/plan.json", use_plans),
    "report": (lambda s: s.submissions / "mine/report.json", list_reports),
    "split": (lambda s: s.splits / "ratio.json", list_splits),
    "dataset": (lambda s: s.datasets / data_of(s) / "dataset.json", list_datasets),
    "index": (lambda s: s.index_of(data_of(s)) / "index.json", lambda s: load_index(s.index_of(data_of(s))).meta),
    "store": (
        lambda s: s.index_of(data_of(s)) / "store/store.json",
        lambda s: GeneStore(s.index_of(data_of(s)) / "store"),
    ),
    "result": (lambda s: next((s.home / "entered").glob("*.json")), list_results),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("edited")
    home, checkpoints = unpack("0.1.0", folder)
    settings = Settings(home=home, checkpoints=checkpoints, data_roots=(folder,), device="cpu")
    set_tags(runs_of(settings)["ridge"].id, settings, add=["paper"])
    return settings


def edits(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The content with each field gone or of another value, those of the first level of tables in it too."""
    places = [(content, (key,)) for key in content]
    places += [(inner, (key, name)) for key, inner in content.items() if isinstance(inner, dict) for name in inner]
    for _, path in places[:60]:
        for value in ("gone", *VALUES):
            made = copy.deepcopy(content)
            at = made
            for key in path[:-1]:
                at = at[key]
            if value == "gone":
                del at[path[-1]]
            else:
                at[path[-1]] = value
            yield f"{'.'.join(path)} = {value!r}", made


@pytest.mark.slow
@pytest.mark.parametrize("kind", READ)
def test_no_edit_is_unexpected(kind: str, archive: Settings) -> None:
    find, read = READ[kind]
    path = find(archive)
    whole = path.read_bytes()
    wrong = []
    try:
        for what, content in edits(json.loads(whole)):
            path.write_text(json.dumps(content))
            try:
                read(archive)
            except VccAppError as error:
                if len(str(error).replace(str(archive.home.parent), "")) > 300:
                    wrong.append(f"{what}: {error}")
            except Exception as error:
                wrong.append(f"{what}: {type(error).__name__}: {error}")
    finally:
        path.write_bytes(whole)
    assert wrong == []


@pytest.mark.parametrize(
    "change",
    [{"cells": {"A": -5}}, {"cells": {}}, {"n_controls": -1}, {"values_per_cell": math.nan}, {"seed": -1}],
    ids=str,
)
def test_a_plan_of_impossible_numbers_is_refused(change: dict[str, Any], archive: Settings) -> None:
    saved = load_plan("mine", archive).model_dump(mode="json")
    with pytest.raises(ValueError, match="validation error"):
        Plan.model_validate(saved | change)


def test_a_checkpoint_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("no folder")
    with refusal(DataError, "record_damaged"):
        find_checkpoint(tmp_path / "checkpoint")


@pytest.mark.parametrize("how", ["short", "nan"])
def test_controls_of_a_model_that_do_not_fit_are_refused(how: str, archive: Settings, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(runs_of(archive)["ridge"].folder / "model", folder)
    arrays = load_file(folder / "state.safetensors")
    mean = arrays["control_mean"]
    arrays["control_mean"] = mean[..., :-1].copy() if how == "short" else np.full_like(mean, np.nan)
    save_file(arrays, folder / "state.safetensors")
    with refusal(DataError, "file_damaged"):
        load_model(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_prediction_that_is_no_number_is_not_near(value: float) -> None:
    index = ToyIndex(["A", "B", "C"], [f"G{i}" for i in range(6)])
    deltas = np.zeros((3, 6), np.float32)
    deltas[1, 2] = value
    with refusal(SpecError, "not_finite"):
        predicted_profiles(index, deltas, ["A", "B", "C"])
