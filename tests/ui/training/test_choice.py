"""The form of the page Train: what each model is for, presets, groups, limits, links, and why Start is grey."""

import shlex
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from page_kit import open_alone, type_option, use
from streamlit.testing.v1 import AppTest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.jobs.store import JobStore
from vccapp.models.base import MODELS, list_trainable
from vccapp.parameters import default_of, does_matter, groups_of, label_of, plain_type
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.tasks.base import Needs
from vccapp.tasks.train import Train
from vccapp.training import RunSpec
from vccapp.training.choosing.coverage import ALWAYS
from vccapp.training.choosing.presets import open_preset
from vccapp.ui.training.choice import training_query

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = [f"GENE{i}" for i in range(8)]
NETWORKS = ("scouter", "state")
PRESETS = [(model, preset) for model in list_trainable() for preset in MODELS[model].presets]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A toy dataset with a split, and vectors of six of its eight targets in the workspace."""
    folder = tmp_path_factory.mktemp("choice")
    settings = Settings(home=folder / "home", checkpoints=folder / "runs", data_roots=(folder,), device="cpu")
    make_counts(n_cells=300, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    parts = {"train": LABELS[:5], "val": LABELS[5:6], "test": LABELS[6:]}
    write_split(split_from_lists(name="s", dataset=dataset.fingerprint, **parts), settings)
    settings.embeddings.mkdir()
    vectors = {"genes": np.array(LABELS[:7]), "embedding": np.eye(7, dtype=np.float32)}
    np.savez(settings.embeddings / "mine.npz", **vectors)
    return settings


@pytest.fixture
def settings(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return use(workspace, monkeypatch)


def open_model(name: str, **params: str) -> AppTest:
    page = open_alone("train", train_model=MODELS[name].label, **params)
    assert not page.exception, [(e.message, e.stack_trace) for e in page.exception]
    return page


def click_late(page: AppTest) -> AppTest:
    """Press Start as on a page that was drawn before it became grey."""
    button = page.button(key="train_start")
    assert button.disabled
    button.proto.disabled = False
    button.click()
    return page


def captions(page: AppTest) -> list[str]:
    return [caption.value for caption in page.caption]


def command(page: AppTest) -> str:
    return page.code[0].value


def another(model: str, name: str) -> Any:
    """A value of a field that is not its default, and allowed."""
    spec = MODELS[model].Spec
    field, offer = spec.model_fields[name], spec.offers.get(name)
    kind, default = plain_type(field.annotation), default_of(field)
    if get_origin(kind) is Literal:
        return next(value for value in reversed(get_args(kind)) if value != default)
    if kind in (int, float):
        return kind(1 if default is None else default * 2 if default * 2 != default else 3)
    texts = {"loss": "C3" if model == "state" else "autofocus + 0.1*pseudobulk_mae", "members": "ridge + knn"}
    offered = {"baseline": "knn", "embedding": "expression", "embedding or one-hot": "one-hot"}
    return texts.get(name) or offered.get(str(offer), "something")


def change_all(model: str, *, flags: bool) -> dict[str, Any]:
    """Every field that matters changed; flags : toggles too, which may hide others."""
    spec, values = MODELS[model].Spec, {}
    for name in (name for names in groups_of(spec).values() for name in names):
        field = spec.model_fields[name]
        keep = (field.annotation is bool and not flags) or spec.offers.get(
            name
        ) == "trained folder"  # it hides the rest
        default = default_of(field)
        if not does_matter(spec, name, values) or keep:
            values[name] = default
        else:
            values[name] = not default if field.annotation is bool else another(model, name)
    values |= {"learning_rate": 0.5} if "learning_rate" in values else {}
    values |= {"dropout": 0.25} if "dropout" in values else {}
    values |= {"decay": 0.75} if "decay" in values else {}
    return {name: value for name, value in values.items() if value != default_of(spec.model_fields[name])}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "flags"), [(m, False) for m in list_trainable()] + [(m, True) for m in NETWORKS])
def test_a_link_opens_the_form_with_every_value(model: str, flags: bool, settings: Settings) -> None:
    params = change_all(model, flags=flags)
    spec = RunSpec(model=model, params=params, dataset="0" * 16, split="s", seed=3, title="A title")
    assert MODELS[model].Spec(**params)
    page = open_alone("train", **training_query(spec))
    assert not page.exception, [(e.message, e.stack_trace) for e in page.exception]
    assert set(spec.command()) ^ set(shlex.split(command(page))) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("model", "preset"), PRESETS)
def test_a_preset_fills_the_form_with_its_values(model: str, preset: str, settings: Settings) -> None:
    page = open_model(model, **{f"train_{model}_learning_rate": "0.77"})
    [control] = [group for group in page.get("button_group") if group.key == f"train_{model}_preset_choice"]
    control.set_value(preset).run()
    assert not page.exception
    values = open_preset(model, preset).values
    wanted = RunSpec(model=model, params=dict(values), dataset="x", split="s")
    assert sorted(shlex.split(command(page))) == sorted(wanted.command())
    told = [text for text in captions(page) if open_preset(model, preset).purpose[:20] in text]
    assert len(told) == 1 and all(label_of(MODELS[model].Spec, name) in told[0] for name in values)


def test_a_changed_preset_is_the_users_own(settings: Settings) -> None:
    page = open_model("scouter", train_scouter_epochs="3")
    [control] = [group for group in page.get("button_group") if group.key == "train_scouter_preset_choice"]
    assert control.value == "own"


def test_a_value_out_of_its_limits_is_told_beside_it_and_stops_the_start(settings: Settings) -> None:
    page = open_model("scouter", train_scouter_batch_size="1", train_scouter_embedding="expression")
    assert sum("Batch size is 1" in text and "at least 2" in text for text in captions(page)) == 2
    assert page.button(key="train_start").disabled
    page.number_input(key="train_scouter_batch_size").set_value(2).run()
    assert not page.button(key="train_start").disabled
    assert not [text for text in captions(page) if "Batch size is" in text]


def test_a_missing_embedding_is_refused_before_a_job_is_written(settings: Settings) -> None:
    page = open_model("ridge", train_ridge_embedding="/nowhere/vectors.npz")
    assert page.button(key="train_start").disabled
    assert any("/nowhere/vectors.npz" in text for text in captions(page))
    type_option(page, "train_ridge_embedding", "/nowhere/vectors.npz")
    click_late(page).run()
    with JobStore(settings) as store:
        assert not store.find()


@pytest.mark.slow
def test_embeddings_are_listed_with_what_they_cover(settings: Settings) -> None:
    page = open_model("ridge")
    box = page.selectbox(key="train_ridge_embedding")
    mine = str(settings.embeddings / "mine.npz")
    assert box.options[: len(ALWAYS)] == list(ALWAYS) and mine in box.options
    assert any("0 of 8 targets have a vector" in text for text in captions(page))
    box.set_value(mine).run()
    assert any("7 of 8 targets have a vector; of the test part 1 of 2." in text for text in captions(page))
    page.session_state["train_coverage"] = True
    page.run()
    [table] = [frame.value for frame in page.dataframe if "known" in frame.value]
    assert table.set_index("embedding").loc[mine, ["targets", "known", "missing"]].tolist() == [8, 7, "GENE7"]


@pytest.mark.slow
def test_fields_that_change_nothing_are_not_asked_for(settings: Settings) -> None:
    page = open_model("state")
    keys = {box.key for box in page.selectbox}
    assert "train_state_adapt" not in keys and "train_state_baseline" in keys
    page.toggle(key="train_state_faithful").set_value(True).run()
    assert "train_state_baseline" not in {box.key for box in page.selectbox}
    assert command(page).endswith("--set faithful=true")


def test_baselines_are_the_closed_models(settings: Settings) -> None:
    box = open_model("state").selectbox(key="train_state_baseline")
    assert "None" in box.options and MODELS["knn"].label in box.options
    assert not {MODELS[name].label for name in (*NETWORKS, "imported")} & set(box.options)
    box.set_value("").run()


@pytest.mark.slow
def test_one_press_is_one_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second press of a double click comes before the page could be drawn anew."""

    def write(settings: Settings, task: Train, **_: object) -> None:
        with JobStore(settings) as store:
            store.create(task, needs=Needs(memory_bytes=10**15, threads=2))
            other = store.create(Train(model="knn", split="other"), needs=Needs(memory_bytes=1, threads=2))
            store.move(other.id, "starting")

    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", write)
    page = open_model("perturbation_mean")
    page.button(key="train_start").click().run()
    click_late(page).run()
    assert not page.exception
    with JobStore(settings) as store:
        jobs = store.find(task="train")
        assert sorted(job.params["model"] for job in jobs) == ["knn", "perturbation_mean"]
    assert page.button(key="train_start").disabled
    assert any("waits or runs already" in text for text in captions(page))
    assert any("Waits behind" in text for text in captions(page))
    page.text_input(key="train_title").set_value("Another").run()
    assert not page.button(key="train_start").disabled
    with JobStore(settings) as store:
        for job in jobs:
            store.move(job.id, "stopped")


def test_models_are_listed_in_the_order_of_their_use(settings: Settings) -> None:
    page = open_model("knn")
    labels = page.selectbox(key="train_model").options
    assert labels == [MODELS[name].label for name in list_trainable()]
    assert labels.index(MODELS["ridge"].label) < labels.index(MODELS["scouter"].label)
    assert MODELS["knn"].purpose in [text.value for text in page.markdown]
    page.button(key="train_advice").click().run()  # too few perturbations to learn from
    assert page.selectbox(key="train_model").value == "knockdown_mean"
    page.session_state["train_all_models"] = True
    page.run()
    tables = [frame.value for frame in page.dataframe]
    assert tables[0]["model"].tolist() == list_trainable() and "pearson_delta_gain" in tables[1]


def test_the_ladder_of_losses_is_a_list(settings: Settings) -> None:
    page = open_model("state")
    assert page.selectbox(key="train_state_loss").options == ["C1", "C2", "C3", "C4"]
    type_option(page, "train_state_loss", "C4").run()
    assert command(page).endswith("--set loss=C4")


def test_the_place_is_asked_for_where_there_is_a_cluster(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "train_on" not in [choice.key for choice in open_model("ridge").segmented_control]
    monkeypatch.setenv("VCCAPP_RAY_ADDRESS", "somewhere:6379")
    here, there = open_model("ridge"), open_model("ridge", train_on="Ray cluster")
    assert "--on" not in here.code[0].value and shlex.split(there.code[0].value)[-2:] == ["--on", "ray"]
    assert any("cluster" in caption for caption in captions(there))
