"""What a page starts is what the command that it shows starts."""

import shutil
from collections.abc import Callable

import pytest
from page_kit import assert_well, commands_of, open_alone
from started import task_of
from streamlit.testing.v1 import AppTest

from vccapp.data.simulation.demo import sample_path
from vccapp.data.workspace import list_datasets
from vccapp.settings import Settings
from vccapp.tasks.base import Task

Click = Callable[[AppTest, str], Task]


@pytest.fixture
def click(monkeypatch: pytest.MonkeyPatch) -> Click:
    """Click a button of a page that starts a task; the task, which is not started."""
    started = []
    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", lambda _, task, **_more: started.append(task))

    def press(page: AppTest, key: str) -> Task:
        page.button(key=key).click().run()
        assert_well(page)
        return started.pop()

    return press


def command_of(page: AppTest, *begin: str) -> list[str]:
    """The first command on a page that begins with these words."""
    return next(words for words in commands_of(page) if words[1 : 1 + len(begin)] == list(begin))


@pytest.mark.parametrize(
    ("name", "params", "key", "verb"),
    [
        ("train", {"train_model": "Ridge", "train_seed": "4"}, "train_start", ("train", "start")),
        ("data", {"data_path": str(sample_path()), "data_batch": "batch"}, "data_index", ("data", "index")),
        ("submit", {"sub_controls": "12", "sub_name": "mine"}, "sub_build", ("submit", "build")),
    ],
)
def test_the_button_and_the_command_start_equal_tasks(
    name: str,
    params: dict[str, str],
    key: str,
    verb: tuple[str, str],
    here: Settings,
    click: Click,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = open_alone(name, **{key: value for key, value in params.items() if key != "sub_name"})
    if "sub_name" in params:
        page.text_input(key="sub_name").set_value(params["sub_name"]).run()
    started = click(page, key)
    assert task_of(command_of(page, *verb), monkeypatch) == started


def test_an_official_scorer_and_its_command_are_equal(
    here: Settings, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_alone("scores")
    page.session_state["scores_official"] = True
    page.run()
    page.number_input(key="official_cells").set_value(5).run()
    started = click(page, "official_start")
    assert started.max_cells == 5
    assert task_of(command_of(page, "eval", "official"), monkeypatch) == started


def test_an_import_and_its_command_are_equal(here: Settings, click: Click, monkeypatch: pytest.MonkeyPatch) -> None:
    path = here.data_roots[0] / "their cells.h5ad"
    shutil.copy(list_datasets(here)[0].path, path)
    page = open_alone("compare")
    page.session_state["cmp_import"] = True
    page.run()
    page.selectbox(key="import_path").select(str(path)).run()
    page.selectbox(key="import_split").select_index(1).run()
    page.text_input(key="import_title").set_value("Theirs").run()
    started = click(page, "import_start")
    assert (started.run_title, started.path) == ("Theirs", path)
    assert task_of(command_of(page, "eval", "import"), monkeypatch) == started
    path.unlink()


def test_an_embedding_and_its_command_are_equal(here: Settings, click: Click, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_alone("train")
    page.session_state["train_embed"] = True
    page.run()
    page.number_input(key="embed_steps").set_value(7).run()
    started = click(page, "embed_start")
    assert started.params == {"steps": 7}
    assert task_of(command_of(page, "model", "embed"), monkeypatch) == started


def test_a_sweep_and_its_command_are_equal(here: Settings, click: Click, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_alone("sweeps", sweep_sampler="Grid", sweep_folds="3", sweep_metric="MAE (low is better)")
    page.text_input(key="sweep_seeds").set_value("0, 1").run()
    page.text_input(key="sweep_title").set_value("mine").run()
    started = click(page, "sweep_start")
    assert started.sweep.n_trials == 6 and started.sweep.n_runs == 36
    assert task_of(command_of(page, "sweep", "start"), monkeypatch) == started
    page = open_alone("sweeps", sweep_sampler="TPE", sweep_trials="5", sweep_model="Nearest genes")
    page.multiselect(key="sweep_knn_names").set_value(["temperature"]).run()
    page.segmented_control(key="sweep_knn_temperature_way").set_value("log").run()
    page.text_input(key="sweep_knn_temperature_log").set_value("0.1, 10").run()
    started = click(page, "sweep_start")
    assert started.sweep.ranges == ["temperature"] and started.sweep.n_trials == 5
    assert task_of(command_of(page, "sweep", "start"), monkeypatch) == started
