"""The form that imports predictions: what it starts, what it refuses, which command it shows."""

import shutil
from pathlib import Path

import pytest
from places import ASSETS
from streamlit.testing.v1 import AppTest

from vccapp.data.reading.opening import open_dataset
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.data.workspace import register
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index


def page() -> None:
    from vccapp.data.workspace import list_datasets
    from vccapp.settings import Settings
    from vccapp.ui.scores.imports import import_form

    import_form(list_datasets(Settings())[0])


@pytest.fixture
def form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    settings = Settings(home=tmp_path / "workspace", checkpoints=tmp_path / "checkpoints", data_roots=(tmp_path,))
    for name in ("home", "checkpoints"):
        monkeypatch.setenv(f"VCCAPP_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("VCCAPP_DATA_ROOTS", str(tmp_path))
    simulate(SimulationSpec(n_cells=600, n_genes=150, n_perturbations=6), tmp_path / "cells.h5ad")
    dataset = open_dataset(tmp_path / "cells.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    for name in ("scouter_pred.h5ad", "state_infer.h5ad"):
        shutil.copy(ASSETS / name, tmp_path / name)
    started = AppTest.from_function(page, default_timeout=20).run()
    assert not started.exception
    return started


@pytest.mark.slow
def test_an_import_is_started(form: AppTest, tmp_path: Path) -> None:
    assert form.button(key="import_start").disabled
    form.selectbox(key="import_path").select(str(tmp_path / "scouter_pred.h5ad")).run()
    form.text_input(key="import_title").set_value("Theirs").run()
    assert "--title Theirs" in form.code[-1].value
    form.button(key="import_start").click().run()
    assert not form.exception and not form.error
    with JobStore(Settings()) as store:
        [job] = store.find(task="import")
    assert job.params["path"] == str(tmp_path / "scouter_pred.h5ad") and job.params["run_title"] == "Theirs"


@pytest.mark.slow
def test_what_cannot_be_imported_is_said_and_starts_nothing(form: AppTest, tmp_path: Path) -> None:
    form.selectbox(key="import_path").select(str(tmp_path / "state_infer.h5ad")).run()
    form.button(key="import_start").click().run()
    assert "X and obsm/X_hvg" in form.error[0].value
    with JobStore(Settings()) as store:
        assert store.find(task="import") == []
