"""Notes, tags, what was sent, official scores: kept, shown, ranked and compared."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from desk import plan_of
from refusals import refusal

from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError, SpecError
from vccapp.seasons.opened import find_season
from vccapp.settings import Settings
from vccapp.submission.build import build_submission
from vccapp.submission.ledger.compare import compare_submissions
from vccapp.submission.ledger.entry import (
    delete_kept,
    find_entry,
    forget_sent,
    list_entries,
    record_sent,
    set_note,
    set_tags,
)
from vccapp.submission.ledger.listing import find_submission, load_ledger
from vccapp.submission.ledger.local import tabulate_local
from vccapp.submission.ledger.official import parse_official, read_official
from vccapp.submission.ledger.ranking import find_counting, view_ranking
from vccapp.submission.ledger.scoring import enter_official, enter_scores
from vccapp.submission.plan import load_plan, write_plan
from vccapp.submission.planning.like import plan_like
from vccapp.submission.scored import score_submission
from vccapp.training.results.entered import load_result

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STATUS = {
    "entry_id": "e-1",
    "model_name": "mine",
    "status": "published",
    "is_final": False,
    "submission_date": "2026-10-02T08:00:00Z",
    "rank": 7,
    "score_avg": 0.31,
    "score_pds": 0.4,
    "score_mse": 0.5,
    "score_nmae": -0.1,
    "score_fid": 0.3,
    "score_reach": 0.2,
    "score_jac": 0.56,
    "partition": "validation",
    "panel_id": "p1",
    "anchor_version": "r3",
    "is_terminal": True,
}


@pytest.mark.slow
def test_notes_and_tags(desk: Settings) -> None:
    assert find_entry("first", desk).tags == ()
    set_note("first", "  a baseline  ", desk)
    set_tags("first", desk, add=["mean", "h1", "mean"])
    entry = set_tags("first", desk, add=["c1"], remove=["h1"])
    assert (entry.note, entry.tags) == ("a baseline", ("mean", "c1"))
    assert find_submission("first", desk).entry == entry
    for wrong in ("two words", "a,b", "x" * 41, ""):
        with refusal(SpecError, "bad_entry"):
            set_tags("first", desk, add=[wrong])
    with refusal(SpecError, "bad_entry"):
        set_note("first", "x" * 2001, desk)
    with refusal(DataError, "unknown_submission"):
        set_note("absent", "x", desk)
    with refusal(SpecError, "bad_name"):
        set_note("../first", "x", desk)


def test_what_was_sent_is_kept_whole(desk: Settings) -> None:
    first = record_sent("first", desk, when=NOON - timedelta(days=1), phase="validation", now=NOON)
    assert first.sent[0].report == find_submission("first", desk).built.model_copy(update={"folder": Path()})
    entry = record_sent("first", desk, when=datetime(2026, 11, 18), phase="final", now=NOON)
    assert [one.phase for one in entry.sent] == ["final", "validation"]  # by time
    assert find_entry("first", desk) == entry
    assert [one.phase for one in forget_sent("first", desk).sent] == ["final"]
    with refusal(SpecError, "in_future"):
        record_sent("first", desk, when=NOON + timedelta(hours=1), now=NOON)
    with refusal(SpecError, "unknown_phase"):
        record_sent("first", desk, phase="none")
    plan_of(desk, "two", name="second")
    with refusal(DataError, "not_packaged"):
        record_sent("second", desk)
    with refusal(SpecError, "never_sent"):
        forget_sent("second", desk)


def test_a_deleted_submission_stays_in_the_ledger(desk: Settings) -> None:
    enter_scores("first", {"overall": 0.2}, desk)
    before = find_submission("first", desk)
    delete_kept("first", desk)
    after = find_submission("first", desk)
    assert after.plan == before.plan and after.package == before.package and after.results == before.results
    assert after.file is None and before.file is not None and after.planned is None
    with refusal(DataError, "unknown_submission"):
        delete_kept("first", desk)


def test_damaged_entries_are_shown_as_such(desk: Settings) -> None:
    set_note("first", "x", desk)
    path = desk.home / "ledger" / "first.json"
    path.write_text(path.read_text()[:20])
    assert list_entries(desk) == []
    ledger = load_ledger(desk)
    assert [one.id for one in ledger] == ["first"]
    assert [(lost.path, lost.error.code) for lost in ledger.unreadable] == [(path, "record_damaged")]
    with refusal(DataError, "record_damaged"):
        set_note("first", "y", desk)


def test_an_entry_with_a_report_of_an_older_version_is_read(desk: Settings) -> None:
    record_sent("first", desk)
    path = desk.home / "ledger" / "first.json"
    saved = json.loads(path.read_text())
    report = saved["sent"][0]["report"]
    assert report["format"] == "report"
    report["version"] = 2
    report.pop("made")
    path.write_text(json.dumps(saved))
    assert find_entry("first", desk).sent[0].report.made is None


def test_what_the_official_tool_prints(desk: Settings, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text(json.dumps(STATUS))
    found = read_official(path)
    assert found.scores == {
        "overall": 0.31,
        "pds_cosine": 0.4,
        "mse_capped": 0.5,
        "lfc_nmae": -0.1,
        "direction_fidelity": 0.3,
        "direction_reach": 0.2,
        "jaccard": 0.56,
    }
    assert (found.rank, found.day, found.final) == (7, date(2026, 10, 2), False)
    assert found.judged == {"partition": "validation", "panel_id": "p1", "anchor_version": "r3"}
    scores = {name: value for name, value in STATUS.items() if name.startswith("score") or name == "rank"}
    submitted = {"entry_id": "e-1", "is_final": False, "final_status": "published", "scores": scores}
    assert parse_official(json.dumps(submitted), "x").scores == found.scores


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "not_official"),
        ("[]", "not_official"),
        ("[" * 100_000, "not_official"),
        ('{"error": "no", "code": "not_logged_in"}', "official_error"),
        ('{"entry_id": "e", "status": "scoring", "score_avg": null}', "no_official_scores"),
        ('{"entry_id": "e", "status": "published", "score_avg": true}', "no_official_scores"),
        ('{"entry_id": "e", "status": "published", "score_avg": NaN}', "no_official_scores"),
        ('{"entry_id": "e", "status": "published", "score_avg": "0.3"}', "no_official_scores"),
    ],
)
def test_what_is_no_result_of_it(content: str, code: str) -> None:
    with refusal(DataError, code):
        parse_official(content, "x.json")


def test_an_official_result_is_entered_once(desk: Settings) -> None:
    of_2025 = {"entry_id": "e-1", "is_final": False, "score_avg": 0.2, "de_score": 0.1, "rank": 9}
    first = enter_official("first", parse_official(json.dumps(of_2025), "x"), desk)
    again = enter_official("first", parse_official(json.dumps(of_2025 | {"rank": 8}), "x"), desk)
    assert again.id == first.id and [one.rank for one in find_submission("first", desk).results] == [8]
    assert load_result(first.id, desk).submission == "first" and again.run == "one" and again.scale == "scaled"
    with refusal(SpecError, "bad_result"):  # scores of another season
        enter_official("first", parse_official(json.dumps(STATUS), "x"), desk)
    record_sent("first", desk, phase="final")
    with refusal(SpecError, "other_phase"):
        enter_official("first", parse_official(json.dumps(of_2025), "x"), desk)
    assert enter_official("first", parse_official(json.dumps(of_2025 | {"is_final": True}), "x"), desk).phase == "final"


@pytest.mark.slow
def test_ranks_hold_among_what_is_comparable(desk: Settings) -> None:
    for name in ("second", "third"):
        build_submission(plan_of(desk, "two", name=name, seed=len(name)), desk)
    days = [date(2026, 10, day) for day in range(1, 6)]
    enter_scores("first", {"overall": 0.2, "mae": 0.5}, desk, day=days[0])
    enter_scores("second", {"overall": 0.3}, desk, day=days[1])
    enter_scores("third", {"overall": 0.1}, desk, day=days[2])
    enter_scores("third", {"overall": 0.25, "mae": 0.7}, desk, day=days[3])  # the newest of these two counts
    enter_scores("third", {"overall": 0.9}, desk, phase="final", day=days[3])
    enter_scores("second", {"overall": 0.8}, desk, judged={"anchor_version": "r3"}, day=days[4])
    enter_scores("first", {"mae": 0.03}, desk, scale="raw", day=days[4])
    enter_scores("second", {"mae": 0.02}, desk, scale="raw", day=days[4])
    plan_of(desk, "one", name="planned", seed=9)
    ledger = load_ledger(desk)
    ranked = view_ranking(ledger).ranked
    found = {(row.submission, row.phase, row.judged): row.rank for row in ranked.dropna(subset="rank").itertuples()}
    assert found == {
        ("second", "validation", ""): 1,
        ("third", "validation", ""): 2,
        ("first", "validation", ""): 3,
        ("third", "final", ""): 1,
        ("second", "validation", "anchor_version r3"): 1,
    }
    assert ranked[ranked["rank"].isna()]["submission"].tolist() == ["planned"]
    by_mae = view_ranking(ledger, metric="mae").ranked.dropna(subset="rank")
    ranks = {(row.submission, row.scale): row.rank for row in by_mae.itertuples()}
    assert ranks == {("third", "scaled"): 1, ("first", "scaled"): 2, ("second", "raw"): 1, ("first", "raw"): 2}
    with refusal(SpecError, "unknown_metric"):
        view_ranking(ledger, metric="des")


def test_the_best_over_time(desk: Settings) -> None:
    for name in ("second", "third"):
        plan_of(desk, "two", name=name, seed=len(name))
    for day, (name, value) in enumerate([("first", 0.2), ("second", 0.1), ("third", 0.4)], start=1):
        enter_scores(name, {"overall": value, "mae": value}, desk, scale="raw", day=date(2026, 10, day))
    best = view_ranking(load_ledger(desk)).best
    assert best["best"].tolist() == [0.2, 0.2, 0.4] and best["value"].tolist() == [0.2, 0.1, 0.4]
    assert view_ranking(load_ledger(desk), metric="mae").best["best"].tolist() == [0.2, 0.1, 0.1]  # low is good


def test_the_last_that_was_sent_counts(desk: Settings) -> None:
    build_submission(plan_of(desk, "two", name="second"), desk)
    record_sent("second", desk, when=NOON, phase="final", now=NOON)
    record_sent("first", desk, when=NOON - timedelta(hours=1), phase="final", now=NOON)
    record_sent("first", desk, when=NOON - timedelta(days=9), phase="validation", now=NOON)
    counting = find_counting(load_ledger(desk))
    assert counting == {("vcc2025", "final"): "second", ("vcc2025", "validation"): "first"}
    enter_scores("first", {"overall": 0.2}, desk, phase="validation")
    ranked = view_ranking(load_ledger(desk)).ranked.set_index("submission")["counts"]
    assert ranked["first"] and ranked["second"]


@pytest.mark.slow
def test_two_submissions_of_one_plan_differ_by_their_runs(desk: Settings) -> None:
    first = find_submission("first", desk).plan
    plan = plan_like(first, "two", desk, id="second")
    assert plan.model_copy(update={"id": "first", "sources": first.sources}) == first and plan.runs == ("two",)
    write_plan(plan, desk)
    build_submission(plan, desk)
    enter_scores("first", {"overall": 0.2}, desk)
    enter_scores("second", {"overall": 0.5}, desk)
    view = compare_submissions(find_submission("first", desk), find_submission("second", desk), desk)
    differing = set(view.making.loc[view.making["differs"], "what"])
    made = {"built", "size of the package", "sha256 of the cells", "sha256 of the package"}
    assert differing - made == {"run", "model", "model digest"}
    assert view.cells.empty
    assert view.official["difference"].tolist() == [pytest.approx(0.3)]
    local = view.local.set_index(["scored", "scorer", "metric"])
    assert (local["note"] == "").all() and local["a"].notna().any()
    row = local.loc[("run, test part", "pseudobulks", "mae")]
    assert row["by"].startswith("version ")
    assert row["difference"] == row["b"] - row["a"] != 0


def test_cells_that_differ(desk: Settings) -> None:
    first = find_submission("first", desk).plan
    other = first.model_copy(
        update={"id": "second", "cells": first.cells | {"GENE7": 1}, "depths": {"GENE6": 500.0}, "n_controls": 5}
    )
    write_plan(other, desk)
    cells = compare_submissions(find_submission("first", desk), find_submission("second", desk), desk).cells
    assert cells["perturbation"].tolist() == ["non-targeting", "GENE6", "GENE7"]
    assert cells["cells_b"].tolist() == [5, first.cells["GENE6"], 1]
    assert cells["depth_b"].tolist()[1] == 500.0


def test_scores_by_other_rules_are_not_subtracted(desk: Settings) -> None:
    write_plan(plan_like(find_submission("first", desk).plan, "two", desk, id="second"), desk)
    path = desk.checkpoints / "two" / "scores" / "pseudobulks-test.json"
    path.write_text(path.read_text().replace('"scorer_version": "', '"scorer_version": "9'))
    view = compare_submissions(find_submission("first", desk), find_submission("second", desk), desk)
    test = view.local[view.local["scored"] == "run, test part"]
    assert test["difference"].isna().all() and test["note"].str.contains("version").all()


@pytest.mark.slow
def test_scores_of_the_file_itself_stand_first(desk: Settings, made_desk: Settings) -> None:
    write_plan(plan_like(find_submission("first", desk).plan, "two", desk, id="second"), desk)
    build_submission(load_plan("second", desk), desk)
    real = open_dataset(made_desk.data_roots[0] / "toy.h5ad")
    for name in ("first", "second"):
        season = find_season("vcc2025", desk)
        score_submission(desk.submissions / name / f"{name}.vcc", real, season=season, settings=desk)
    table = tabulate_local(find_submission("first", desk), desk)
    assert table["scored"].iloc[0] == "file, against toy.h5ad" and "vccapp" in table["by"].iloc[0]
    view = compare_submissions(find_submission("first", desk), find_submission("second", desk), desk)
    of_file = view.local[view.local["scored"] == "file, against toy.h5ad"]
    assert (of_file["note"] == "").all()
    assert of_file["difference"].tolist() == (of_file["b"] - of_file["a"]).tolist() != [0.0] * len(of_file)
    shutil.rmtree(desk.checkpoints / "two")  # what is stored of a file does not need its run
    again = compare_submissions(find_submission("first", desk), find_submission("second", desk), desk).local
    assert again[again["scored"] == "file, against toy.h5ad"].equals(of_file)


@pytest.mark.parametrize(("run", "code"), [("one", "same_run"), ("none", "unknown_run")])
def test_runs_that_no_plan_can_take(desk: Settings, run: str, code: str) -> None:
    with refusal(SpecError, code):
        plan_like(find_submission("first", desk).plan, run, desk)
