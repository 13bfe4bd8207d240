"""The page Runs: the table and its filters, one run opened, several compared, what is done with them, and its speed."""

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from desk import make_desk
from page_kit import assert_well, commands_of, keep_csvs, open_alone, parse_command, use
from streamlit.testing.v1 import AppTest

from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.tasks.base import Needs
from vccapp.tasks.resume import Resume
from vccapp.tasks.train import Train
from vccapp.training import load_run, train
from vccapp.training.record import write_run
from vccapp.training.runs.notes import pin, set_note, set_tags
from vccapp.ui.kit.frame import PAGES

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"width": 16, "inner": 8, "code": 4, "batch_size": 32, "embedding": "expression", "epoch_steps": 1, "epochs": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two runs without steps, and two of a network that differ in one parameter."""
    settings = make_desk(tmp_path_factory.mktemp("runs"))
    spec = load_run("one", settings).spec.model_copy(update={"model": "scouter", "params": SMALL})
    train(spec, settings, run_id="net")
    train(spec.model_copy(update={"params": SMALL | {"direction": 0.5}}), settings, run_id="wide")
    return settings


@pytest.fixture
def settings(made: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shutil.copytree(made.home, tmp_path / "home")
    shutil.copytree(made.checkpoints, tmp_path / "runs")
    return use(made.model_copy(update={"home": tmp_path / "home", "checkpoints": tmp_path / "runs"}), monkeypatch)


@pytest.fixture(autouse=True)
def nobody_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs stay as a test has written them."""
    monkeypatch.setattr("vccapp.jobs.local.is_kept", lambda _: True)


def table(page: AppTest) -> Any:
    return page.dataframe[0].value


def charts(page: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in page.get("vega_lite_chart")]


@pytest.mark.slow
def test_the_table_lists_what_is_known(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    csvs = keep_csvs(monkeypatch)
    monkeypatch.setattr("vccapp.ui.runs.choice.show_csv_button", lambda frame, **about: csvs.update(runs=frame))
    set_tags("one", settings, add=["paper"])
    with JobStore(settings) as store:
        store.create(Train.of(load_run("one", settings).spec).model_copy(update={"run_id": "waits"}))
    page = open_alone("runs")
    assert_well(page)
    assert csvs["runs"]["id"].tolist() == ["waits", "wide", "net", "two", "one"]
    rows = csvs["runs"].set_index("id")
    assert rows["state"].tolist() == ["queued", *["finished"] * 4]
    run = load_run("two", settings)
    assert rows.loc["two", "validation"] == run.metrics["val"]["knockdown_mean"]["pearson_delta"]
    assert rows.loc["two", "baseline"] == run.metrics["val"]["perturbation_mean"]["pearson_delta"]
    assert (rows.loc["two", "device"], rows.loc["one", "tags"]) == ("cpu", "paper")
    assert rows["data"].tolist() == ["toy"] * 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"runs_search": "knock"}, ["two"]),
        ({"runs_search": "direction=0.5"}, ["wide"]),
        ({"runs_search": "scouter paper"}, ["net"]),
        ({"runs_search": "seed=0 ridge"}, []),
        ({"runs_search": "seed=0 knock"}, ["two"]),
        ({"runs_model": "Scouter"}, ["wide", "net"]),
        ({"runs_tag": "paper"}, ["net"]),
        ({"runs_state": "finished", "runs_search": "one"}, ["one"]),
    ],
    ids=str,
)
def test_filters_stand_in_the_link(params: dict[str, str], found: list[str], settings: Settings) -> None:
    set_tags("net", settings, add=["paper"])
    page = open_alone("runs", runs_columns="Id", **params)
    assert_well(page)
    assert table(page)["id"].tolist() == found and list(table(page)) == ["id"]


def test_a_link_opens_a_run_and_says_what_changed(settings: Settings) -> None:
    page = open_alone("runs", run="wide")
    assert_well(page)
    specs, scores = page.dataframe[1].value, page.dataframe[2].value
    assert specs["what"].tolist() == ["direction"]
    assert specs.iloc[0, 1:].tolist()[1] == "0.5"
    own = load_run("wide", settings).metrics["test"]["scouter"]["mae"]
    before = load_run("net", settings).metrics["test"]["scouter"]["mae"]
    row = scores[(scores["part"] == "test") & (scores["metric"] == "mae")].iloc[0]
    assert row["difference"] == pytest.approx(own - before)
    for words in commands_of(page):
        parse_command(words)
    page = open_alone("runs", run="no-such-run")
    assert not page.exception and "no-such-run" in page.warning[0].value


@pytest.mark.slow
def test_every_term_and_every_score_has_its_curve(settings: Settings) -> None:
    page = open_alone("runs", run="net", runs_view="Curves")
    assert_well(page)
    titles = [chart["title"]["text"] for chart in charts(page)]
    assert titles[:3] == ["Pearson of deltas", "PDS (L1)", "MAE"]
    assert titles[-5:] == [
        "Loss on held-out cells",
        "Gain over the baseline",
        "Loss",
        "Autofocus (squared error of cells)",
        "Direction",
    ]
    mae = charts(page)[2]
    assert mae["layer"][1]["encoding"]["strokeDash"]["scale"]["domain"] == [
        "ridge on gene vectors",
        "control mean",
        "perturbation mean",
        "perfect",
        "repeat",
    ]
    assert mae["title"]["subtitle"].startswith("now ") and " at step " in mae["title"]["subtitle"]
    timed = open_alone("runs", run="net", runs_view="Curves", runs_curve_axis="Time", runs_curve_smooth="0.5")
    assert_well(timed)
    layers = charts(timed)[2]["layer"]
    assert layers[1]["encoding"]["x"]["field"] == "seconds" and layers[1]["encoding"]["y"]["field"] == "smooth"


def test_several_runs_are_laid_over_each_other_and_compared(settings: Settings) -> None:
    page = open_alone("runs")
    page.query_params["run"] = ["net", "wide"]
    page.run()
    assert_well(page)
    mae = next(chart for chart in charts(page) if chart["title"]["text"] == "MAE")
    assert len(mae["layer"][0]["encoding"]["color"]["scale"]["domain"]) == 2
    page.segmented_control(key="runs_together").set_value("differences").run()
    assert_well(page)
    assert page.dataframe[1].value["what"].tolist() == ["direction"]


def test_a_run_is_named_pinned_deleted_and_brought_back(settings: Settings) -> None:
    page = open_alone("runs", run="net")
    page.session_state["runs_show_notes"] = True
    page.run()
    page.text_input(key="runs_title_net").set_value("narrow")
    page.text_area(key="runs_note_net").set_value("a note")
    page.button(key="runs_save").click().run()
    assert_well(page)
    run = load_run("net", settings)
    assert (run.title, run.notes.note) == ("narrow", "a note")
    page.button(key="runs_pin").click().run()
    assert load_run("net", settings).notes.pinned and not [b for b in page.button if b.key == "runs_pin"]
    page.session_state["runs_show_delete"] = True
    page.run()
    assert any("reference" in warning.value for warning in page.warning)
    page.button(key="runs_delete").click().run()
    assert_well(page)
    assert not (settings.checkpoints / "net").exists() and len(table(page)) == 3
    page.button(key="runs_undo").click().run()
    assert_well(page)
    assert load_run("net", settings).title == "narrow" and len(table(page)) == 4
    assert not [button for button in page.button if button.key == "runs_undo"]


def test_the_bin_is_emptied_and_says_what_that_frees(settings: Settings) -> None:
    page = open_alone("runs", run="two")
    page.session_state["runs_show_delete"] = True
    page.run()
    page.button(key="runs_delete").click().run()
    page.session_state["runs_bin"] = True
    page.run()
    assert any("kB" in text.value and "two" in text.value for text in page.markdown)
    page.button(key="runs_empty").click().run()
    assert_well(page)
    assert not [box for box in page.expander if box.label.startswith("Deleted runs")]


def test_a_stopped_run_resumes_and_one_that_works_stops(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started, stopped = [], []
    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", lambda _, task, **_more: started.append(task))
    monkeypatch.setattr("vccapp.jobs.runs.stop_job", lambda _, job_id, **__: stopped.append(job_id))
    run = load_run("net", settings)
    write_run(run.model_copy(update={"state": "stopped", "reason": "Stopped on request."}), run.folder)
    page = open_alone("runs", run="net")
    assert any("Stopped on request." in caption.value for caption in page.caption)
    page.button(key="runs_resume").click().run()
    assert_well(page)
    assert started == [Resume(dataset=run.spec.dataset, run_id="net")]
    with JobStore(settings) as store:
        job = store.create(started[0])
    page.run()
    assert not [button for button in page.button if button.key == "runs_resume"]
    page.button(key="runs_last").click().run()
    page.button(key="runs_first").click().run()
    assert_well(page)
    page.button(key="runs_stop").click().run()
    assert stopped == [job.id]


@pytest.mark.slow
def test_a_run_opens_in_the_form_of_train(settings: Settings) -> None:
    page = open_alone("runs", run="wide")
    [link] = [link.proto for link in page.get("page_link") if "train" in link.proto.page]
    params = dict(pair.split("=") for pair in link.query_string.split("&"))
    form = open_alone("train", **{name: value.replace("+", " ") for name, value in params.items()})
    assert_well(form)
    [command] = [words for words in commands_of(form) if words[:3] == ["vccapp", "train", "start"]][:1]
    asked, known = (parse_command(words) for words in (command, load_run("wide", settings).spec.command()))
    assert sorted(asked.pop("set_")) == sorted(known.pop("set_")) and asked == known


def test_train_shows_what_was_started_last_with_a_link(settings: Settings) -> None:
    page = open_alone("train")
    assert_well(page)
    assert any("finished" in text.value and "wide" in text.value for text in page.markdown)
    assert any("run=wide" in link.proto.query_string for link in page.get("page_link"))


def test_the_end_of_a_job_is_told_once(settings: Settings) -> None:
    with JobStore(settings) as store:
        job = store.create(Train.of(load_run("one", settings).spec).model_copy(update={"run_id": "x"}))
    app = AppTest.from_file(str(PAGES.parent / "app.py"), default_timeout=30).run()
    assert_well(app)
    assert not app.toast
    with JobStore(settings) as store:
        store.move(job.id, "stopped", ended=job.created, reason="Stopped while waiting.")
    app.run()
    assert [toast.value for toast in app.toast if "stopped" in toast.value]
    app.run()
    assert not app.toast


def test_the_log_is_searched(settings: Settings) -> None:
    with JobStore(settings) as store:
        job = store.create(Train.of(load_run("net", settings).spec).model_copy(update={"run_id": "net"}))
        store.move(job.id, "stopped")
        store.log_path(job.id).parent.mkdir(parents=True, exist_ok=True)
        store.log_path(job.id).write_text("first line\nsecond LINE\nthird\n")
    page = open_alone("runs", run="net", runs_view="Log", runs_log_search="line")
    assert_well(page)
    assert page.code[0].value == "first line\nsecond LINE"


def test_what_a_run_used_is_drawn_with_its_peak(settings: Settings) -> None:
    with JobStore(settings) as store:
        task = Train.of(load_run("net", settings).spec).model_copy(update={"run_id": "net"})
        job = store.create(task, needs=Needs(memory_bytes=2_000_000_000))
        store.move(job.id, "stopped", started=1000.0)
    page = open_alone("runs", run="net", runs_view="System")
    assert_well(page)
    assert not charts(page)  # nothing was noted
    lines = [{"time": 1000.0 + 5 * n, "cpu_percent": 80, "memory_bytes": 1e9 if n == 3 else 5e8} for n in range(900)]
    (settings.jobs / job.id / "usage.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = open_alone("runs", run="net", runs_view="System")
    assert_well(page)
    assert [chart["title"]["text"] for chart in charts(page)] == ["Processors", "Memory"]
    assert any("1.0 GB" in caption.value and "2.0 GB" in caption.value for caption in page.caption)


def test_words_of_a_run_are_shown_as_they_are(settings: Settings) -> None:
    hostile = "**bold** <b>x</b> [l](http://x.test) :red[y] $z$"
    set_note("one", hostile, settings)
    page = open_alone("runs", run="one")
    assert_well(page)
    [note] = [info.value for info in page.info if "bold" in info.value]
    assert "**bold**" not in note and "[l](" not in note


@pytest.mark.slow
@pytest.mark.parametrize(("run", "model"), [("two", "Knock-down mean"), ("net", "Scouter")])
def test_the_reference_comes_first_on_compare_and_scores(run: str, model: str, settings: Settings) -> None:
    page = open_alone("compare")
    assert page.multiselect(key="cmp_runs").value == ["wide"]  # the one that was begun last
    pin(run, settings)
    page = open_alone("compare")
    assert page.multiselect(key="cmp_runs").value == [run]
    page = open_alone("scores")
    assert_well(page)
    reference = page.selectbox(key="scores_reference")
    assert model in reference.options[reference.index] and "direction" not in reference.options[reference.index]


def test_the_link_of_compare_names_runs_by_their_ids(settings: Settings) -> None:
    twin = load_run("one", settings)
    shutil.copytree(twin.folder, settings.checkpoints / "twin")
    write_run(twin.model_copy(update={"id": "twin"}), settings.checkpoints / "twin")
    page = open_alone("compare", cmp_runs="twin")
    assert_well(page)
    assert page.multiselect(key="cmp_runs").value == ["twin"]
    labels = page.multiselect(key="cmp_runs").options
    assert len(set(labels)) == len(labels) == 5
    page.multiselect(key="cmp_runs").set_value(["one", "twin"]).run()
    assert page.query_params["cmp_runs"] == ["one", "twin"]


@pytest.mark.slow
def test_500_runs_are_listed_from_their_records_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No log of a run is read to list it, no record twice; the time of a look is measured by benchmarks, not here."""
    one = load_run("net", settings)
    for number in range(500):
        folder = settings.checkpoints / f"copy-{number}"
        folder.mkdir()
        created = datetime.now(UTC) - timedelta(minutes=number)
        write_run(one.model_copy(update={"id": folder.name, "number": 10 + number, "created": created}), folder)
    monkeypatch.setattr("vccapp.training.record.SETTLED_NS", -1)
    page = open_alone("runs", runs_columns="Id")
    assert_well(page)
    assert len(table(page)) == 504
    monkeypatch.setattr("vccapp.training.record.read_record", lambda *_: pytest.fail("a record was read again"))
    monkeypatch.setattr("vccapp.training.runs.curves.read_metrics", lambda *_: pytest.fail("a log was read"))
    began = time.perf_counter()
    page.text_input(key="runs_search").set_value("copy-7").run()
    print(f"a look at 504 runs took {time.perf_counter() - began:.2f} s")
    assert_well(page)
    assert len(table(page)) == 11
