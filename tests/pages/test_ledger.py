"""The page Ledger: nothing yet, one submission, two that were scored and are compared."""

import json
from datetime import date

import pytest
from desk import make_desk
from page_kit import assert_well, commands_of, keep_csvs, open_alone, parse_command, use

from vccapp.evaluation.leaderboard.metric_names import label_metric
from vccapp.settings import Settings
from vccapp.submission.build import build_submission
from vccapp.submission.ledger.entry import find_entry
from vccapp.submission.ledger.listing import find_submission
from vccapp.submission.ledger.scoring import enter_scores
from vccapp.submission.plan import load_plan, write_plan
from vccapp.submission.planning.like import plan_like


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return use(make_desk(tmp_path_factory.mktemp("page")), monkeypatch)


@pytest.fixture
def two(here: Settings) -> Settings:
    """Two submissions of one plan, with official scores."""
    plan = plan_like(load_plan("first", here), "two", here, id="second")
    write_plan(plan, here)
    build_submission(plan, here)
    for day, (name, value) in enumerate({"first": 0.2, "second": 0.5}.items(), start=1):
        enter_scores(name, {"overall": value, "mae": value / 2}, here, scale="raw", day=date(2026, 10, day))
    return here


def test_nothing_yet(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(settings, monkeypatch)
    page = open_alone("ledger")
    assert_well(page)
    assert "no submission yet" in page.info[0].value
    assert commands_of(page) == [["vccapp", "submit", "ledger", "list"]]


def test_note_tags_sent_and_scored(here: Settings) -> None:
    page = open_alone("ledger")
    assert_well(page)
    page.text_area(key="ledger_note_first").set_value("a baseline")
    page.button(key="ledger_save").click().run()
    assert_well(page)
    assert find_entry("first", here).note == "a baseline"
    page.selectbox(key="ledger_phase_first").set_value("final")
    page.button(key="ledger_sent").click().run()
    assert_well(page)
    assert len(find_entry("first", here).sent) == 1
    page.session_state["ledger_enter"] = True
    page.run()
    printed = {"entry_id": "e", "is_final": True, "score_avg": 0.3, "rank": 4}
    page.text_area(key="ledger_json_first").set_value(json.dumps(printed)).run()
    page.button(key="ledger_read").click().run()
    assert_well(page)
    assert [result.scores for result in find_submission("first", here).results] == [{"overall": 0.3}]
    page.text_area(key="ledger_json_first").set_value("{}").run()
    page.button(key="ledger_read").click().run()
    assert "no scores" in page.error[0].value and not page.exception


def test_two_are_ranked_and_compared(two: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    csvs = keep_csvs(monkeypatch)
    page = open_alone("ledger", ledger_a="first", ledger_b="second", ledger_metric=label_metric("mae"))
    assert_well(page)
    assert csvs["ledger"]["submission"].tolist() == ["first", "second"]
    assert csvs["ledger-best"]["best"].tolist() == [0.1, 0.1]  # low is good
    assert {"run", "model"} <= set(csvs["making"]["what"])
    official = csvs["official"].set_index("metric")
    assert official.loc["overall", ["a", "b"]].tolist() == [0.2, 0.5]
    commands = commands_of(page)
    assert [words[2:4] for words in commands] == [
        ["ledger", "list"],
        ["ledger", "show"],
        ["reproduce", commands[2][3]],
        ["ledger", "compare"],
    ]
    for words in commands:
        parse_command(words)


def test_a_click_builds_the_next_rung_and_another_makes_it_again(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", lambda _, task, **_more: started.append(task))
    page = open_alone("ledger")
    page.button(key="ledger_like").click().run()
    assert_well(page)
    page.selectbox(key="ledger_id").set_value("first").run()
    page.button(key="ledger_again").click().run()
    assert_well(page)
    built, again = started
    assert load_plan(built.plan, here).runs == ("two",)
    assert load_plan(built.plan, here).cells == load_plan("first", here).cells
    assert again.submission == "first"
