"""The Train page of a network: its form, its estimate, a grid, and what was started last."""

import subprocess
import sys

import pytest
from page_kit import type_option
from places import ROOT
from streamlit.testing.v1 import AppTest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.jobs.keeping.launch import environment
from vccapp.jobs.store import JobStore
from vccapp.models.base import MODELS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.tasks.demo import Demo
from vccapp.training import RunSpec, train
from vccapp.ui.kit.frame import PAGES

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = [f"GENE{i}" for i in range(8)]
NEED_MORE = {"transfer", "state_checkpoint"}
"""Models with a parameter that has no default: their files."""
SMALL = {"width": 16, "inner": 8, "code": 4, "batch_size": 32, "embedding": "expression", "epoch_steps": 1, "epochs": 2}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A toy dataset, and a finished run of Scouter on it."""
    folder = tmp_path_factory.mktemp("training")
    settings = Settings(
        home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,), device="cpu"
    )
    make_counts(n_cells=500, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    split = split_from_lists(name="s", dataset=dataset.fingerprint, train=LABELS[:5], val=LABELS[5:7], test=LABELS[7:])
    write_split(split, settings)
    train(RunSpec(model="scouter", params=SMALL, dataset=dataset.fingerprint, split="s"), settings, run_id="done")
    return settings


def open_page(settings: Settings, monkeypatch: pytest.MonkeyPatch, **params: str) -> AppTest:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    page = AppTest.from_file(str(PAGES / "train.py"), default_timeout=60)
    for key, value in params.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception, [(e.message, e.stack_trace) for e in page.exception]
    return page


@pytest.mark.slow
def test_what_a_training_takes_is_told_before(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page(workspace, monkeypatch, train_model="Scouter")
    [estimate] = [caption.value for caption in page.caption if caption.value.startswith("About ")]
    assert "million weights, at most" in estimate and " of memory" in estimate
    assert "Starts at once" in estimate and " threads" in estimate
    small = workspace.model_copy(update={"memory_gb": 0.5})
    page = open_page(small, monkeypatch, train_model="Scouter", train_scouter_embedding="expression")
    assert page.button(key="train_start").disabled
    assert any("0.5 GB are allowed" in caption.value for caption in page.caption)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, kind in MODELS.items() if kind.trainable])
def test_a_form_that_nobody_touched_is_the_defaults(
    name: str, workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(workspace, monkeypatch, train_model=MODELS[name].label)
    assert page.selectbox(key="train_model").value == name
    assert page.code[0].value == f"vccapp train start {name} --split s"
    if name not in NEED_MORE:
        assert any(caption.value.startswith("About ") for caption in page.caption)


def test_a_training_may_come_after_a_job(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job that it comes after is asked for while there is one; it stands in the command and in the queue."""
    with JobStore(workspace) as store:
        job = store.create(Demo())
        try:
            monkeypatch.setattr("vccapp.jobs.local.ensure_keeper", lambda *_: None)
            page = open_page(workspace, monkeypatch, train_model="Additive")
            page.multiselect(key="train_after").set_value([job.id]).run()
            assert page.code[0].value == f"vccapp train start additive --split s --after {job.id}"
            assert any("Waits until" in caption.value for caption in page.caption)
            page.button(key="train_start").click().run()
            [started] = [other for other in store.find(state="queued") if other.id != job.id]
            assert started.after == (job.id,) and not page.exception
        finally:
            for left in store.find(state="queued"):
                store.move(left.id, "stopped")
    assert "train_after" not in {widget.key for widget in open_page(workspace, monkeypatch).multiselect}


@pytest.mark.parametrize(("loss", "refused"), [("C4", False), ("C1 + 0.2*mmd", False), ("energy + hinge", True)])
def test_a_loss_is_a_preset_or_an_expression(
    loss: str, refused: bool, workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", lambda *args, **_: started.append(args))
    page = open_page(workspace, monkeypatch, train_model="STATE (ST)", train_state_embedding="expression")
    type_option(page, "train_state_loss", loss).run()
    assert f"loss={loss}" in page.code[0].value
    assert page.button(key="train_start").disabled == refused
    type_option(page, "train_state_loss", loss)
    page.button(key="train_start").proto.disabled = False  # a page that was drawn before may still send the click
    page.button(key="train_start").click().run()
    assert not page.exception and not page.error
    assert len(started) == (0 if refused else 1)
    assert not refused or any("hinge" in caption.value for caption in page.caption)


@pytest.mark.slow
def test_the_page_of_a_network_loads_no_torch() -> None:
    modules = "vccapp.ui.training.choice, vccapp.ui.runs.page, vccapp.models.base as b"
    code = f"import sys, {modules}; list(b.MODELS); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "False"


def test_a_run_by_two_processes_is_started(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", lambda _, task, **_more: started.append(task))
    page = open_page(
        workspace, monkeypatch, train_model="Scouter", train_scouter_embedding="expression", train_devices="2"
    )
    [command] = [
        code.value for code in page.code if code.value.startswith("vccapp train start") and "--split s" in code.value
    ][:1]
    assert command.endswith("--devices 2")
    page.button(key="train_start").click().run()
    [task] = started
    assert (task.name, task.devices, task.model) == ("train", 2, "scouter")
    page = open_page(workspace, monkeypatch, train_model="Ridge")
    assert not [box for box in page.number_input if box.label == "Devices"]


@pytest.mark.slow
def test_the_embedding_of_cells_is_told_and_started(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", lambda _, task, **_more: started.append(task))
    page = open_page(workspace, monkeypatch)
    page.session_state["train_embed"] = True
    page.run()
    assert any("cells embedded" in caption.value for caption in page.caption)
    page.number_input(key="embed_steps").set_value(7).run()
    assert any(code.value.endswith("--method state --split s --set steps=7") for code in page.code)
    page.number_input(key="embed_batch_size").set_value(10_000_000).run()
    assert "are allowed" in page.error[0].value and not [b for b in page.button if b.key == "embed_start"]
    page.number_input(key="embed_batch_size").set_value(64).run()
    page.button(key="embed_start").click().run()
    [task] = started
    assert (task.name, task.method, task.params) == ("embed", "state", {"steps": 7})
