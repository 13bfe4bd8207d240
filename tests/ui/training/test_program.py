"""The official program of STATE on the page Train: installed by a button, its commands, networks trained before."""

import shlex
import shutil
from pathlib import Path

import pytest
from fake_state import write_environment
from page_kit import open_alone, use
from streamlit.testing.v1 import AppTest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.jobs.store import JobStore
from vccapp.models.base import MODELS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.tasks.base import Needs, Task
from vccapp.tasks.install_state import InstallState
from vccapp.training import RunSpec, train
from vccapp.ui.training.choice import training_query

OFFICIAL = MODELS["state_official"]
LABELS = [f"GENE{i}" for i in range(8)]
SMALL = {"steps": 3, "genes": 20, "cells": 4, "embedding": "expression"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A toy dataset with a split; the program is not installed, but a stand-in for it is in the folder `program`."""
    folder = tmp_path_factory.mktemp("program")
    settings = Settings(home=folder / "home", checkpoints=folder / "runs", data_roots=(folder,), device="cpu", state="")
    make_counts(n_cells=300, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    parts = {"train": LABELS[:5], "val": LABELS[5:6], "test": LABELS[6:]}
    write_split(split_from_lists(name="s", dataset=dataset.fingerprint, **parts), settings)
    write_environment(folder / "program")
    return settings


@pytest.fixture
def missing(workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return use(workspace.model_copy(update={"checkpoints": tmp_path / "runs"}), monkeypatch)


@pytest.fixture
def installed(missing: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    program = str(missing.data_roots[0] / "program")
    return use(missing.model_copy(update={"state": program}), monkeypatch)


def open_train(settings: Settings, **params: object) -> AppTest:
    [dataset] = [folder.name for folder in settings.datasets.iterdir()]
    spec = RunSpec(model=OFFICIAL.name, params=params, dataset=dataset, split="s")
    page = open_alone("train", **training_query(spec))
    assert not page.exception, [(e.message, e.stack_trace) for e in page.exception]
    return page


def texts(page: AppTest) -> str:
    return "\n".join(element.value for element in (*page.markdown, *page.caption, *page.warning)).replace("\\", "")


def keys(page: AppTest) -> set[str]:
    return {button.key for button in page.button}


@pytest.mark.slow
def test_a_button_installs_it(missing: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Task] = []

    def write(settings: Settings, task: Task, **_: object) -> None:
        begun.append(task)
        with JobStore(settings) as store:  # it waits, as nothing has so much memory
            store.create(task, needs=Needs(memory_bytes=10**15, threads=1))

    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", write)
    page = open_train(missing)
    assert "GB of disk" in texts(page) and "minutes" in texts(page) and str(missing.state_environment) in texts(page)
    assert page.button(key="train_start").disabled and "is not installed" in texts(page)
    page.button(key="train_install_program").click().run()
    assert not page.exception and begun == [InstallState()]
    assert page.button(key="train_install_program").disabled
    assert InstallState().title in texts(page)
    with JobStore(missing) as store:
        for job in store.find(task=InstallState.name):
            store.move(job.id, "stopped")


def test_what_is_there_is_told_with_its_commands(installed: Settings) -> None:
    page = open_train(installed, **SMALL)
    assert "arc-state 0.11.1" in texts(page) and str(installed.state) in texts(page)
    assert "train_install_program" not in keys(page) and not page.button(key="train_start").disabled
    commands = [shlex.split(line) for code in page.code for line in code.value.splitlines() if line]
    wanted = OFFICIAL(OFFICIAL.Spec(**SMALL)).commands("state")
    assert [words for words in commands if words[0] == "state"] == wanted


def test_a_program_that_is_named_and_not_there_is_not_installed_elsewhere(
    missing: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VCCAPP_STATE decides, so an installation would change nothing."""
    use(missing.model_copy(update={"state": str(tmp_path / "none")}), monkeypatch)
    page = open_train(missing)
    assert "train_install_program" not in keys(page) and page.button(key="train_start").disabled
    assert str(tmp_path / "none") in "".join(warning.value for warning in page.warning).replace("\\", "")


@pytest.mark.slow
def test_a_network_trained_before_is_chosen_from_a_list(installed: Settings) -> None:
    [dataset] = [folder.name for folder in installed.datasets.iterdir()]
    run = train(RunSpec(model=OFFICIAL.name, params=SMALL, dataset=dataset, split="s"), installed, run_id="one")
    folder = installed.checkpoints / "first_run"
    shutil.copytree(run / "model" / "official", folder)
    (installed.checkpoints / "half").mkdir()
    (installed.checkpoints / "half" / "config.yaml").touch()
    page = open_train(installed)
    box = page.selectbox(key="train_state_official_folder")
    assert box.options == ["None", str(folder), str(run / "model" / "official")]
    assert {"train_state_official_steps"} <= {field.key for field in page.number_input}
    box.set_value(str(folder)).run()
    assert {"train_state_official_steps"}.isdisjoint({field.key for field in page.number_input})
    assert page.button(key="train_start").disabled and "pickles" in texts(page)
    page.toggle(key="train_state_official_trusted").set_value(True).run()
    assert not page.button(key="train_start").disabled
    command = page.code[0].value
    assert {f"folder={folder}", "trusted=true"} <= set(shlex.split(command))
    assert open_train(installed, folder=str(folder), trusted=True).code[0].value == command
