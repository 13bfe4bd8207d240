"""What is done with runs: named, noted, pinned, told apart, compared, deleted and brought back."""

import fcntl
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from desk import make_desk
from refusals import refusal

from vccapp.data.workspace import explain_missing, list_datasets
from vccapp.errors import DataError, SpecError
from vccapp.settings import Settings
from vccapp.submission.uses import list_uses
from vccapp.training import RunSpec, list_runs, load_run, train
from vccapp.training.record import Notes, read_notes, write_run
from vccapp.training.runs.bin import BIN, delete_run, deleted_ids, empty_bin, list_deleted, restore_run
from vccapp.training.runs.curves import best_validation, read_curves, smooth
from vccapp.training.runs.differences import compare_specs, find_before, tabulate_scores
from vccapp.training.runs.naming import describe_run, label_runs
from vccapp.training.runs.notes import find_pinned, pin, rename, set_note, set_tags, unpin
from vccapp.training.runs.tables import baseline_of, matches, tabulate_runs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_desk(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def settings(made: Settings, tmp_path: Path) -> Settings:
    """The same data and submission, with copies of the two runs."""
    import shutil

    shutil.copytree(made.checkpoints, tmp_path / "runs")
    return made.model_copy(update={"checkpoints": tmp_path / "runs"})


@pytest.mark.slow
def test_words_of_people_change_no_number(settings: Settings) -> None:
    before = (settings.checkpoints / "one" / "run.json").read_bytes()
    rename("one", " whole   genome ", settings)
    set_note("one", "  read me\n", settings)
    set_tags("one", settings, add=["paper", "b", "paper"])
    set_tags("one", settings, add=["c"], remove=["b"])
    run = load_run("one", settings)
    assert (run.title, run.notes.note, run.notes.tags) == ("whole genome", "read me", ("paper", "c"))
    assert run.spec.title == "" and (settings.checkpoints / "one" / "run.json").read_bytes() == before
    rename("one", "", settings)
    assert load_run("one", settings).title == ""
    rename("one", None, settings)
    assert load_run("one", settings).title == run.spec.title
    for change in (lambda: rename("one", "x" * 201, settings), lambda: set_tags("one", settings, add=["two words"])):
        with refusal(SpecError, "bad_notes"):
            change()
    with refusal(SpecError, "unknown_run"):
        set_note("none", "x", settings)


@pytest.mark.slow
def test_of_people_who_write_at_once_all_are_heard(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_slowly(folder: Path) -> Notes:
        notes = read_notes(folder)
        time.sleep(0.05)  # for the others to read the same
        return notes

    monkeypatch.setattr("vccapp.training.runs.notes.read_notes", read_slowly)
    tags = [f"t{number}" for number in range(6)]
    with ThreadPoolExecutor(8) as people:
        work = [people.submit(set_tags, "one", settings, add=[tag]) for tag in tags]
        work += [people.submit(rename, "one", "renamed", settings), people.submit(set_note, "one", "noted", settings)]
        for one in work:
            one.result()
    notes = load_run("one", settings).notes
    assert (sorted(notes.tags), notes.title, notes.note) == (tags, "renamed", "noted")


def test_damaged_notes_are_listed_and_the_run_stays(settings: Settings) -> None:
    set_note("one", "x", settings)
    path = settings.checkpoints / "one" / "notes.json"
    path.write_text(path.read_text()[:20])
    runs = list_runs(settings)
    assert {run.id for run in runs} == {"one", "two"} and [found.path for found in runs.unreadable] == [path]
    assert load_run("one", settings).notes.note == ""
    with refusal(DataError, "record_damaged"):  # what is there is not overwritten
        set_note("one", "y", settings)


def test_one_run_of_a_dataset_is_its_reference(settings: Settings) -> None:
    dataset = load_run("one", settings).spec.dataset
    assert find_pinned(list_runs(settings), dataset) is None
    pin("one", settings, now=datetime(2030, 1, 1, tzinfo=UTC))
    pin("two", settings, now=datetime(2026, 1, 1, tzinfo=UTC))  # the clock was set back
    runs = list_runs(settings)
    assert [run.id for run in runs if run.notes.pinned] == ["two"]
    assert find_pinned(runs, dataset).id == "two" and find_pinned(runs, "other") is None
    unpin(dataset, settings)
    assert find_pinned(list_runs(settings), dataset) is None


def test_a_record_is_parsed_once_and_again_when_it_changed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings.checkpoints / "one" / "run.json"
    os.utime(path, ns=(0, 10**18))
    load_run("one", settings)
    with monkeypatch.context() as patch:
        patch.setattr("vccapp.training.record.read_record", lambda *_: pytest.fail("it was read again"))
        load_run("one", settings)
    run = load_run("one", settings)
    write_run(run.model_copy(update={"reason": "changed"}), run.folder)
    assert load_run("one", settings).reason == "changed"
    write_run(run.model_copy(update={"reason": "CHANGED"}), run.folder)  # the same length, within a tick of the clock
    assert load_run("one", settings).reason == "CHANGED"


def test_the_order_is_that_of_the_beginnings_whatever_the_clock_says(settings: Settings) -> None:
    one, two = load_run("one", settings), load_run("two", settings)
    assert (one.number, two.number) == (1, 2)
    write_run(two.model_copy(update={"created": one.created - timedelta(days=300)}), two.folder)
    assert [run.id for run in list_runs(settings)] == ["two", "one"]
    saved = json.loads((one.folder / "run.json").read_text())
    first = {name: value for name, value in saved.items() if name not in ("format", "version", "number", "device")}
    (one.folder / "run.json").write_text(json.dumps(first))  # as 0.1.0 wrote it
    assert load_run("one", settings).number == 0


def test_runs_of_a_minute_and_of_a_grid_are_told_apart(settings: Settings) -> None:
    run = load_run("one", settings)
    spec = run.spec.model_copy(update={"model": "ridge", "params": {"strength": 10}})
    twin = run.model_copy(update={"spec": spec, "id": "20261127-184312-ridge-a1b2"})
    other = twin.model_copy(update={"id": "20261127-184318-ridge-c3d4"})
    assert describe_run(twin) != describe_run(other)
    assert "Ridge" in describe_run(twin) and "strength=10" in describe_run(twin)
    titled = twin.model_copy(update={"spec": spec.model_copy(update={"title": "embedding=default"})})
    assert "Ridge" in describe_run(titled) and "embedding=default" in describe_run(titled)
    clash = other.model_copy(update={"id": "20261127-184319-ridge-a1b2"})
    labels = label_runs([twin, other, clash])
    assert len(set(labels.values())) == 3 and list(labels) == [twin.id, other.id, clash.id]


def test_what_differs_is_told_with_the_defaults(settings: Settings) -> None:
    runs = [load_run(id, settings) for id in ("one", "two")]
    table = compare_specs(runs).set_index("what")
    assert table.loc["model", ["one", "two"]].tolist() == ["perturbation_mean", "knockdown_mean"]
    assert table.loc["min_control_mean", ["one", "two"]].tolist() == ["-", "0.05"]
    assert not table.loc["split content", "differs"] and table["differs"].tolist() == sorted(table["differs"])[::-1]
    given = runs[1].spec.model_copy(update={"params": {"min_control_mean": 0.05}})
    same = compare_specs([runs[1], runs[1].model_copy(update={"spec": given, "id": "three"})])
    assert not same["differs"].any()  # a default that is given changes nothing
    scores = tabulate_scores(runs).set_index(["part", "metric"])
    for run in runs:
        for part in ("val", "test"):
            known = run.metrics[part][run.spec.model]
            assert scores.loc[(part, "mae"), run.id] == known["mae"]


def test_the_run_before_is_of_the_same_data_and_model(settings: Settings) -> None:
    one, two = load_run("one", settings), load_run("two", settings)
    third = two.model_copy(update={"id": "three", "number": 3})
    fourth = one.model_copy(update={"id": "four", "number": 4})
    every = [one, two, third, fourth]
    assert find_before(fourth, every).id == "one" and find_before(third, every).id == "two"
    assert find_before(two, every).id == "one" and find_before(one, every) is None
    elsewhere = third.model_copy(update={"spec": third.spec.model_copy(update={"dataset": "other"})})
    assert find_before(elsewhere, every) is None


def test_the_best_validation_stands_against_the_baseline_on_the_same(settings: Settings) -> None:
    run = load_run("two", settings)
    assert best_validation(run, "mae") == run.metrics["val"]["knockdown_mean"]["mae"]
    assert baseline_of(run, "mae") == run.metrics["val"]["perturbation_mean"]["mae"]
    log = [{"step": 1, "val_mae": 0.5}, {"step": 2, "val_mae": 0.2}, {"step": 3, "val_mae": 0.3}]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    stopped = run.model_copy(update={"state": "stopped"})
    assert best_validation(stopped, "mae") == 0.2  # an error is best when it is low
    assert best_validation(stopped, "scouter_nmse") is None
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "val_mae": 0.1}\n')
    assert best_validation(stopped, "mae") == 0.1
    assert read_curves([run])["value"].tolist() == [0.5, 0.2, 0.3, 0.1]


def test_smoothing_begins_where_the_values_do_and_loses_none() -> None:
    values = np.array([4.0, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(smooth(values, 0), values)
    smoothed = smooth(values, 0.5)
    assert smoothed[0] == 4 and len(smoothed) == 4
    np.testing.assert_allclose(smoothed[1], (0.5 * 4 + 2) / 1.5)
    np.testing.assert_allclose(smooth(np.full(50, 3.0), 0.9), 3)


def test_deleted_and_brought_back(settings: Settings) -> None:
    files = {path.name for path in (settings.checkpoints / "one").iterdir()}
    delete_run("one", settings)
    assert [run.id for run in list_runs(settings)] == ["two"]
    [binned] = list_deleted(settings)
    assert binned.run == "one" and binned.size > 1000 and deleted_ids(settings) == {"one"}
    with refusal(SpecError, "unknown_run"):
        delete_run("one", settings)
    restore_run("one", settings)
    assert {path.name for path in (settings.checkpoints / "one").iterdir()} == files
    assert list_deleted(settings) == [] and len(list_runs(settings)) == 2
    with refusal(SpecError, "not_deleted"):
        restore_run("one", settings)


def test_the_bin_says_what_it_frees_and_keeps_what_was_not_asked(settings: Settings) -> None:
    sizes = {}
    for id in ("one", "two"):
        folder = settings.checkpoints / id
        sizes[id] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        delete_run(id, settings)
    assert empty_bin(settings, runs=["two"]) == sizes["two"]
    assert [one.run for one in list_deleted(settings)] == ["one"]
    assert empty_bin(settings) == sizes["one"] and empty_bin(settings) == 0
    assert deleted_ids(settings) == {"one", "two"}
    with refusal(SpecError, "not_deleted"):
        restore_run("two", settings)


def test_a_run_of_the_same_id_is_not_overwritten(settings: Settings) -> None:
    spec = load_run("one", settings).spec
    delete_run("one", settings, now=datetime(2026, 1, 1, tzinfo=UTC))
    train(spec, settings, run_id="one")
    with refusal(SpecError, "run_exists"):
        restore_run("one", settings)
    delete_run("one", settings, now=datetime(2026, 1, 2, tzinfo=UTC))
    assert len(list_deleted(settings)) == 2
    restored = restore_run("one", settings)
    assert restored.is_dir() and len(list((settings.checkpoints / BIN).iterdir())) == 1


def test_a_run_that_is_trained_cannot_be_deleted(settings: Settings) -> None:
    with (settings.checkpoints / "one" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with refusal(SpecError, "run_busy"):
            delete_run("one", settings)
    assert len(list_runs(settings)) == 2


def test_what_still_uses_a_run_is_told(settings: Settings) -> None:
    [told] = list_uses(["one"], settings)
    assert "first" in told and "one" in told
    assert list_uses(["two"], settings) == []
    pin("two", settings)
    assert len(list_uses(["two"], settings)) == 1


def test_a_search_finds_every_word_anywhere(settings: Settings) -> None:
    set_tags("two", settings, add=["paper"])
    run = load_run("two", settings)
    for words, found in (("", True), ("KNOCK paper", True), ("mean s", True), ("two", True), ("ridge", False)):
        assert matches(run.id, run, run.spec, words) == found, words
    queued = RunSpec(model="ridge", params={"strength": 10}, dataset="d", split="s")
    assert matches("x", None, queued, "strength=10") and not matches("x", None, None, "ridge")


def test_runs_as_a_table_have_parameters_and_scores(settings: Settings) -> None:
    table = tabulate_runs(list_runs(settings)).set_index("run")
    run = load_run("two", settings)
    assert table.loc["two", "test mae"] == run.metrics["test"]["knockdown_mean"]["mae"]
    assert list(tabulate_runs([]).columns)[0] == "run"


def test_data_that_are_gone_or_replaced_are_said(made: Settings) -> None:
    [record] = list_datasets(made)
    assert explain_missing(record.fingerprint, made) == ""
    file, away = record.path, record.path.with_suffix(".away")
    file.rename(away)
    try:
        assert "no longer" in explain_missing(record.fingerprint, made)
        file.write_bytes(b"another file")
        assert file.name in explain_missing(record.fingerprint, made)
    finally:
        away.replace(file)
    assert explain_missing(record.fingerprint, made) == ""
    assert "not registered" in explain_missing("0" * 16, made)
