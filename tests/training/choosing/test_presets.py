"""Presets and losses become ordinary parameters, which the run records."""

import json

import numpy as np
import pytest
from fake_state import write_environment
from refusals import refusal
from toy import make_counts

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import SpecError
from vccapp.jobs.keeping.launch import environment
from vccapp.losses.expression import PRESETS, parse_loss
from vccapp.models.base import MODELS, list_trainable, make_model
from vccapp.parameters import default_of
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.training.choosing.presets import choose_params, find_preset, open_preset

pytestmark = pytest.mark.usefixtures("one_thread")
PRESET_NAMES = [(model, preset) for model in list_trainable() for preset in MODELS[model].presets]
LABELS = [f"GENE{i}" for i in range(8)]
TINY = {
    "scouter": {"width": 8, "inner": 8, "code": 4, "genes": 20, "epochs": 1, "epoch_steps": 1},
    "state": {"preset": "xs", "genes": 20, "steps": 2, "set_size": 8, "sets": 2},
    "state_official": {"steps": 2, "genes": 20, "cells": 4},
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("presets")
    settings = Settings(
        home=folder / "home",
        checkpoints=folder / "runs",
        data_roots=(folder,),
        device="cpu",
        state=str(folder / "program"),
    )
    make_counts(n_cells=300, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    write_split(
        split_from_lists(name="s", dataset=dataset.fingerprint, train=LABELS[:5], val=LABELS[5:7], test=LABELS[7:]),
        settings,
    )
    write_environment(folder / "program")
    np.savez(folder / "vectors.npz", genes=np.array(LABELS), embedding=np.eye(8, dtype=np.float32))
    return settings


def test_the_networks_have_three() -> None:
    for model in ("scouter", "state", "state_official"):
        assert list(MODELS[model].presets) == ["quick", "paper", "strong"]


@pytest.mark.parametrize(("model", "preset"), PRESET_NAMES)
def test_a_preset_is_a_valid_choice_of_values_that_are_no_defaults(model: str, preset: str) -> None:
    values = open_preset(model, preset).values
    spec = make_model(model, dict(values)).spec
    for name, value in values.items():
        assert getattr(spec, name) == value != default_of(type(spec).model_fields[name])
    assert find_preset(model, values) == preset
    assert find_preset(model, {**values, "batch_size": 7}) == ""
    assert open_preset(model, preset).source


def test_own_values_count_more_than_the_loss_and_that_more_than_the_preset() -> None:
    assert choose_params("state", preset="quick", loss="C3", own={"steps": 9}) == {
        **MODELS["state"].presets["quick"].values,
        "loss": "C3",
        "steps": 9,
    }
    assert choose_params("state", loss="C3", own={"loss": "C1"}) == {"loss": "C1"}
    assert choose_params("ridge", own={"strength": 1}) == {"strength": 1}


def test_what_a_model_lacks_is_refused() -> None:
    with refusal(SpecError, "unknown_preset"):
        choose_params("scouter", preset="best", own={})
    with refusal(SpecError, "unknown_preset"):
        choose_params("ridge", preset="quick", own={})
    with refusal(SpecError, "no_loss"):
        choose_params("ridge", loss="C1", own={})


@pytest.mark.slow
@pytest.mark.parametrize(("model", "preset"), PRESET_NAMES)
def test_the_values_of_a_preset_stand_in_the_run(
    model: str, preset: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    own = TINY[model] | {"embedding": str(settings.data_roots[0] / "vectors.npz")}
    words = ["train", "start", model, "--split", "s", "--preset", preset, "--json"]
    with pytest.raises(SystemExit) as end:
        main(words + [word for name, value in own.items() for word in ("--set", f"{name}={value}")])
    printed = capsys.readouterr()
    assert end.value.code in (0, None), printed.err
    run = json.loads((settings.checkpoints / json.loads(printed.out)["id"] / "run.json").read_text())
    assert run["state"] == "finished"
    assert run["spec"]["params"] == dict(open_preset(model, preset).values) | own


@pytest.mark.parametrize("step", PRESETS)
def test_each_step_of_the_ladder_has_one_term_more(step: str) -> None:
    terms = parse_loss(choose_params("state", loss=step, own={})["loss"])
    assert len(terms) == int(step[1])
    below = list(PRESETS)[: int(step[1]) - 1]
    assert all(parse_loss(name).items() <= terms.items() for name in below)
