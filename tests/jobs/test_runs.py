"""Runs with their jobs: the same 'latest' in every command, what waits, what is gone, and what may be done."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from desk import make_desk
from refusals import refusal

from vccapp.cli import main
from vccapp.errors import SpecError
from vccapp.jobs.keeping.launch import environment
from vccapp.jobs.runs import GONE, clone_spec, delete_runs, find_entry, list_entries, plan_resume
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.tasks.resume import Resume
from vccapp.tasks.train import Train
from vccapp.training import RunSpec, load_run
from vccapp.training.record import write_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_desk(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def settings(made: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The two runs, and a store of jobs of the test's own."""
    shutil.copytree(made.home, tmp_path / "home")
    shutil.copytree(made.checkpoints, tmp_path / "runs")
    settings = made.model_copy(update={"home": tmp_path / "home", "checkpoints": tmp_path / "runs"})
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


def ask(capsys: pytest.CaptureFixture, *words: str, code: int = 0) -> Any:
    """What a command prints with --json; of one that is refused its code."""
    with pytest.raises(SystemExit) as end:
        main([*words, "--json"])
    printed = capsys.readouterr()
    assert int(end.value.code or 0) == code, printed.err
    return json.loads(printed.out if code == 0 else printed.err.strip().splitlines()[-1])


def add_job(settings: Settings, task: Train | Resume, state: str) -> str:
    """A job of this state, without a process."""
    with JobStore(settings) as store:
        job = store.create(task)
        for step in ("starting", "running"):
            if state != "queued":
                store.move(job.id, step)
        if state not in ("queued", "running"):
            store.move(job.id, state, ended=job.created)
        return job.id


@pytest.fixture(autouse=True)
def nobody_keeps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs stay as a test has written them; commands that work have their keeper."""
    if "slow" not in request.keywords:
        monkeypatch.setattr("vccapp.jobs.local.is_kept", lambda _: True)


def spec_of(settings: Settings) -> RunSpec:
    return load_run("one", settings).spec


def test_latest_is_one_run_after_an_older_one_was_resumed(settings: Settings, capsys: pytest.CaptureFixture) -> None:
    dataset = spec_of(settings).dataset
    add_job(settings, Train.of(spec_of(settings)).model_copy(update={"run_id": "two"}), "succeeded")
    add_job(settings, Resume(dataset=dataset, run_id="one"), "succeeded")
    assert find_entry("latest", settings).id == "two"
    assert ask(capsys, "runs", "show")["run"]["id"] == "two"
    assert ask(capsys, "train", "status")["run"]["id"] == "two"
    assert ask(capsys, "eval", "compare")["run"] == "two"
    assert ask(capsys, "runs", "list")["runs"][0]["id"] == "two"


def test_a_command_that_needs_a_finished_run_says_which_it_takes(
    settings: Settings, capsys: pytest.CaptureFixture
) -> None:
    two = load_run("two", settings)
    write_run(two.model_copy(update={"state": "stopped"}), two.folder)
    with pytest.raises(SystemExit):
        main(["eval", "compare", "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["run"] == "one" and "two" in printed.err


def test_what_waits_is_listed_first_and_has_no_run_yet(settings: Settings) -> None:
    spec = spec_of(settings).model_copy(update={"title": "waiting"})
    add_job(settings, Train.of(spec).model_copy(update={"run_id": "w"}), "queued")
    entry = find_entry("latest", settings)
    assert (entry.id, entry.run, entry.state, entry.title, entry.active) == ("w", None, "queued", "waiting", True)
    assert [found.id for found in list_entries(settings, dataset=spec.dataset)] == ["w", "two", "one"]
    assert list_entries(settings, dataset="other") == []
    with refusal(SpecError, "run_busy"):
        delete_runs(["one", "w"], settings)
    assert load_run("one", settings)  # all or none
    with refusal(SpecError, "nothing_to_resume"):
        plan_resume(entry, settings)


def test_a_run_whose_folder_is_gone_is_said_and_a_deleted_one_is_not(settings: Settings) -> None:
    for run_id in ("one", "two"):
        add_job(settings, Train.of(spec_of(settings)).model_copy(update={"run_id": run_id}), "succeeded")
    shutil.rmtree(settings.checkpoints / "one")
    assert {entry.id: entry.state for entry in list_entries(settings)} == {"one": GONE, "two": "finished"}
    assert find_entry("one", settings).reason
    delete_runs(["two"], settings)
    assert [entry.id for entry in list_entries(settings)] == ["one"]
    with refusal(SpecError, "run_deleted"):
        find_entry("two", settings)


def test_an_unreadable_run_is_not_taken_for_one_that_is_gone(settings: Settings) -> None:
    add_job(settings, Train.of(spec_of(settings)).model_copy(update={"run_id": "one"}), "succeeded")
    (settings.checkpoints / "one" / "run.json").write_text("{")
    entries = list_entries(settings)
    assert [entry.id for entry in entries] == ["two"] and len(entries.unreadable) == 1


def test_a_clone_is_the_same_but_for_what_is_changed(settings: Settings) -> None:
    entry = find_entry("two", settings)
    spec = clone_spec(entry, changes={"min_control_mean": 0.01}, seed=7)
    assert (spec.model, spec.split, spec.seed, spec.params) == ("knockdown_mean", "s", 7, {"min_control_mean": 0.01})
    assert clone_spec(entry, changes={}) == entry.spec


@pytest.mark.slow
def test_the_commands(settings: Settings, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    cloned = ask(capsys, "runs", "clone", "two", "--set", "min_control_mean=0.01", "--title", "again")
    assert cloned["state"] == "finished" and cloned["spec"]["params"] == {"min_control_mean": 0.01}
    shown = ask(capsys, "runs", "show", cloned["id"])
    assert shown["before"] == "two"
    assert {row["what"] for row in shown["changed"]} == {"min_control_mean"}
    assert "end: succeeded" in ask(capsys, "runs", "logs", cloned["id"], "--search", "END")["log"]
    assert ask(capsys, "runs", "rename", "one", "first")[0]["title"] == "first"
    assert ask(capsys, "runs", "tag", "one", "two", "--add", "paper")[1]["tags"] == ["paper"]
    assert ask(capsys, "runs", "note", "one", "a note")[0]["note"] == "a note"
    assert ask(capsys, "runs", "pin", "one")[0]["pinned"]
    assert [run["id"] for run in ask(capsys, "runs", "list", "--tag", "paper")["runs"]] == ["two", "one"]
    assert [run["id"] for run in ask(capsys, "runs", "list", "--search", "first paper")["runs"]] == ["one"]
    compared = ask(capsys, "runs", "compare", "one", "two")
    assert {"what", "one", "two"} == set(compared["specs"][0])
    assert ask(capsys, "runs", "export", str(tmp_path / "runs.csv"))["rows"] == 3
    assert "run" in (tmp_path / "runs.csv").read_text().splitlines()[0]
    assert ask(capsys, "runs", "delete", "one", code=2)["code"] == "run_used"
    [deleted] = ask(capsys, "runs", "delete", "one", "--yes")
    assert deleted["bytes"] > 0 and [row["run"] for row in ask(capsys, "runs", "list", "--deleted")] == ["one"]
    assert ask(capsys, "runs", "show", "one", code=2)["code"] == "run_deleted"
    ask(capsys, "runs", "restore", "one")
    assert ask(capsys, "runs", "show", "one")["notes"]["note"] == "a note"
    ask(capsys, "runs", "delete", "two")
    assert ask(capsys, "runs", "empty")["bytes"] > 0
    for words in (["list"], ["show"], ["logs", cloned["id"]], ["compare", "one", cloned["id"]], ["list", "--deleted"]):
        with pytest.raises(SystemExit) as end:
            main(["runs", *words])
        assert not end.value.code, capsys.readouterr().err
