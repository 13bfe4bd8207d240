"""The page Scores under AppTest: rows, filters, links, official scorers, results entered by hand, the report."""

from pathlib import Path
from urllib.parse import parse_qs

import pandas as pd
import pytest
from page_kit import ask, assert_well, commands_of, is_among, keep_csvs, open_alone, parse_command, tables_of, use
from streamlit.testing.v1 import AppTest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import make_split, write_split
from vccapp.data.workspace import register
from vccapp.evaluation.leaderboard.ranking import ENTERED, MARK, RUN
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.training import RunSpec, train
from vccapp.training.results.entered import list_results, make_result, write_result

RUNS = {"a0": ("perturbation_mean", 0), "a1": ("perturbation_mean", 1), "b0": ("knockdown_mean", 0)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("scores")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(400, n_perturbations=12).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    labels = [f"GENE{i}" for i in range(12)]
    write_split(make_split(labels, name="s", dataset=dataset.fingerprint, ratio=(0.4, 0.2, 0.4), seed=1), settings)
    for run, (model, seed) in RUNS.items():
        train(RunSpec(model=model, dataset=dataset.fingerprint, split="s", seed=seed), settings, run_id=run)
    return settings


@pytest.fixture
def here(prepared: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return use(prepared, monkeypatch)


def open_part(name: str) -> AppTest:
    """The page with one of its lower parts open."""
    page = open_alone("scores")
    page.session_state[name] = True
    page.run()
    assert_well(page)
    return page


@pytest.mark.slow
def test_rows_stand_beside_floors_and_limits(here: Settings) -> None:
    page = open_alone("scores")
    assert_well(page)
    table = page.dataframe[0].value
    assert table["kind"].tolist() == [RUN, RUN, MARK, MARK, MARK, MARK]
    assert set(table["run"].dropna()) == {"a1", "b0"}
    assert {"pds", "pds n", "mae"} <= set(table.columns)
    assert len(page.get("vega_lite_chart")) == 2
    assert all(chart.proto.alt for chart in page.get("vega_lite_chart"))
    assert page.dataframe[1].value["p_holm"].between(0, 1).all()
    page.segmented_control(key="scores_rows").set_value("runs").run()
    assert_well(page)
    assert set(page.dataframe[0].value["run"].dropna()) == set(RUNS)


@pytest.mark.slow
def test_a_link_reopens_the_view_and_its_commands_say_the_same(here: Settings) -> None:
    page = open_alone("scores", scores_part="val", scores_search="knock", scores_scale_pseudobulks="scaled")
    assert_well(page)
    assert set(page.dataframe[0].value["run"].dropna()) == {"b0"}
    leaderboard, _, report, _ = commands_of(page)
    asked = parse_command(leaderboard)
    assert (asked["part"], asked["scale"], asked["reference"]) == ("val", "scaled", "b0")
    asked = parse_command(report)
    assert (asked["part"], list(asked["runs"]), asked["metric"][0]) == ("val", ["b0"], "pearson_delta")


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"scores_rows": "Single runs", "scores_part": "val"},
        {"scores_scale_pseudobulks": "scaled", "scores_models": "perturbation_mean"},
        {"scores_search": "knock", "scores_splits": "s"},
    ],
)
def test_the_commands_of_the_views_give_what_the_page_shows(
    chosen: dict[str, str], here: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_result(make_result(here, id="x", date="2025-11-02", season="vcc2025", scores={"mae": 0.03}), here)
    csvs = keep_csvs(monkeypatch)
    page = open_alone("scores", **chosen)
    assert_well(page)
    leaderboard, metric, *_ = commands_of(page)
    tables = tables_of([ask(leaderboard, capsys), ask(metric, capsys)])
    (here.home / "entered" / "x.json").unlink()
    assert {"leaderboard", "scores_pearson_delta"} <= set(csvs)
    for name, frame in csvs.items():
        assert is_among(frame.rename(columns={"row": "label"}) if name.startswith("tests_") else frame, tables), name


def test_one_table_of_a_view_is_written_as_csv(
    here: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    csvs = keep_csvs(monkeypatch)
    _, metric, *_ = commands_of(open_alone("scores"))
    answer = ask([*metric, "--table", "differences", "--csv", str(tmp_path / "d.csv")], capsys)
    written = pd.read_csv(tmp_path / "d.csv", float_precision="round_trip")
    assert written.to_dict("records") == answer["differences"]
    assert written["difference"].tolist() == csvs["differences_pearson_delta"]["difference"].tolist()


def test_filters_that_leave_nothing_say_so(here: Settings) -> None:
    page = open_alone("scores", scores_search="nothing such")
    assert_well(page)
    assert "No run scored by" in page.info[0].value


def test_a_row_opens_compare(here: Settings) -> None:
    page = open_alone("scores")
    assert not page.get("page_link")
    page.session_state["scores_open"] = "b0"
    page.run()
    assert_well(page)
    [link] = page.get("page_link")
    assert link.proto.page == "compare"
    assert parse_qs(link.proto.query_string) == {"cmp_runs": ["b0"], "cmp_part": ["test"]}


@pytest.mark.slow
def test_results_are_entered_changed_and_deleted(here: Settings) -> None:
    page = open_part("scores_entered")
    key = "entered_new_0"
    page.selectbox(key=f"{key}_season").set_value("vcc2025").run()
    page.number_input(key=f"{key}_vcc2025_mae").set_value(0.027)
    page.text_input(key=f"{key}_note").set_value("first try")
    page.selectbox(key=f"{key}_run").set_value("b0")
    page.button(key=f"{key}_save").click().run()
    assert_well(page)
    [result] = list_results(here)
    assert (result.scores, result.note, result.run) == ({"mae": 0.027}, "first try", "b0")
    table = page.dataframe[0].value
    assert table[table["kind"] == ENTERED]["mae"].tolist() == [0.027]

    page.selectbox(key="entered_which").set_value(result.id).run()
    key = f"entered_{result.id}_1"
    assert page.number_input(key=f"{key}_vcc2025_mae").value == 0.027
    page.number_input(key=f"{key}_vcc2025_mae").set_value(0.026)
    page.button(key=f"{key}_save").click().run()
    assert [changed.scores for changed in list_results(here)] == [{"mae": 0.026}]
    page.button(key=f"{key}_delete").click().run()
    assert_well(page)
    assert list_results(here) == []


def test_a_result_without_scores_is_one_sentence(here: Settings) -> None:
    page = open_part("scores_entered")
    page.button(key="entered_new_0_save").click().run()
    assert not page.exception
    [error] = page.error
    assert "at least one score" in error.value
    assert list_results(here) == []


@pytest.mark.slow
def test_the_official_scorers_say_what_they_take(
    here: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = []
    monkeypatch.setattr("vccapp.ui.scores.official.begin_job", started.append)
    page = open_part("scores_official")
    assert any("GB** of memory" in text.value for text in page.markdown)
    page.number_input(key="official_cells").set_value(5).run()
    page.button(key="official_start").click().run()
    assert_well(page)
    [task] = started
    assert (task.name, task.scorer, task.max_cells, task.part) == ("score", "cell-eval", 5, "test")
    words = next(words for words in commands_of(page) if "official" in words)
    asked = parse_command(words)
    assert (asked["max_cells"], asked["max_controls"], asked["run"]) == (5, None, task.run_id)
    monkeypatch.setenv("VCCAPP_MEMORY_GB", "0.1")
    page = open_part("scores_official")
    assert page.button(key="official_start").disabled
    with JobStore(here) as store:
        assert not store.find(task="score")


def test_without_any_score_the_page_still_takes_results(
    here: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = here.model_copy(update={"checkpoints": tmp_path / "none"})
    use(own, monkeypatch)
    write_result(make_result(own, id="x", date="2025-11-02", season="vcc2025", scores={"mae": 0.03}), own)
    page = open_part("scores_entered")
    assert "has been scored yet" in page.info[0].value
    assert page.dataframe[0].value["mae"].tolist() == [0.03]
    (own.home / "entered" / "x.json").unlink()
