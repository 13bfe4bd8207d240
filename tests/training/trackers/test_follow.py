"""Trackers: what a run logs reaches each of them once, whatever ends in between; what they do is no matter of it."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from vccapp.errors import Stopped
from vccapp.training.metrics_log import NAME, Line, MetricsLog, read_lines
from vccapp.training.trackers.base import TRACKERS, Tracked, Tracker
from vccapp.training.trackers.follow import follow_run

LINES = [
    {"step": 0, "val_loss": 3.0},
    {"step": 1, "loss": 2.0},
    {"step": 2, "loss": 1.5},
    {"step": 2, "val_loss": float("nan")},
    {"step": 3, "loss": 1.0},
]


class Seen(Tracker):
    """Keeps what it is given, as a server would, from one process to the next."""

    label = "Seen"
    calls: list[tuple[str, Any]] = []

    def start(self, run: Tracked, key: str) -> str:
        self.calls.append(("start", key))
        return key or f"key of {run.id}"

    def log(self, lines: Sequence[Line]) -> None:
        self.calls.extend(("line", dict(line)) for line in lines)

    def end(self, state: str, scores: Mapping[str, float]) -> None:
        self.calls.append(("end", (state, dict(scores))))


class Raising(Seen):
    def log(self, lines: Sequence[Line]) -> None:
        raise RuntimeError("the server does not answer")


class Leaving(Seen):
    def start(self, run: Tracked, key: str) -> str:
        raise SystemExit(3)


class Absent(Seen):
    def start(self, run: Tracked, key: str) -> str:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401

        return ""


class Hanging(Seen):
    free = threading.Event()

    def start(self, run: Tracked, key: str) -> str:
        self.free.wait()
        return ""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kinds = {"seen": Seen, "raising": Raising, "leaving": Leaving, "absent": Absent, "hanging": Hanging}
    monkeypatch.setattr(TRACKERS, "_items", dict(TRACKERS.items()) | kinds)
    Seen.calls, Hanging.free = [], threading.Event()
    yield
    Hanging.free.set()


@pytest.fixture
def run(tmp_path: Path) -> Tracked:
    return Tracked("run-1", "A title", tmp_path, tmp_path / "home", {"model": "scouter", "steps": 3})


def train(run: Tracked, lines: Sequence[Line], *names: str, then: Callable[[], None] = lambda: None) -> None:
    with follow_run(run, names, look_seconds=0.01, end_seconds=60.0) as scores, MetricsLog(run.folder) as log:
        for line in lines:
            log(dict(line))
        then()
        scores["test/pds"] = 0.5


def lines_seen() -> list[str]:
    """As texts: a NaN is not equal to itself."""
    return [json.dumps(value) for kind, value in Seen.calls if kind == "line"]


@pytest.mark.usefixtures("known")
def test_every_line_reaches_a_tracker_once_and_then_the_scores(run: Tracked) -> None:
    train(run, LINES, "seen")
    assert Seen.calls[0] == ("start", "") and Seen.calls[-1] == ("end", ("finished", {"test/pds": 0.5}))
    assert lines_seen() == [json.dumps(line) for line in LINES]


def fail() -> None:
    raise ZeroDivisionError


def stop() -> None:
    raise Stopped


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("logged", range(len(LINES) + 1))
@pytest.mark.parametrize("resumed_from", range(len(LINES)))
def test_a_run_that_goes_on_goes_on_there_with_no_line_twice(logged: int, resumed_from: int, run: Tracked) -> None:
    if resumed_from > logged:
        return  # a checkpoint is not ahead of the log
    with pytest.raises(ZeroDivisionError):
        train(run, LINES[:logged], "seen", then=fail)
    assert Seen.calls[-1] == ("end", ("failed", {}))
    with pytest.raises(Stopped):
        train(run, LINES[resumed_from:], "seen", then=stop)
    assert [value for kind, value in Seen.calls if kind == "start"] == ["", "key of run-1"]
    assert lines_seen() == [json.dumps(line) for line in LINES]
    assert Seen.calls[-1] == ("end", ("stopped", {}))


@pytest.mark.usefixtures("known")
def test_what_a_killed_process_had_not_handed_over_comes_with_the_next(run: Tracked) -> None:
    train(run, LINES[:2], "seen")
    with (run.folder / NAME).open("a") as file:  # logged, and then killed
        print(json.dumps(LINES[2]), file=file)
    train(run, LINES[3:], "seen")
    assert lines_seen() == [json.dumps(line) for line in LINES]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("name", ["raising", "leaving", "absent", "hanging", "no_such_tracker"])
def test_whatever_a_tracker_does_the_run_ends_well_and_it_is_told_once(
    name: str, run: Tracked, caplog: pytest.LogCaptureFixture
) -> None:
    waits = 0.2 if name == "hanging" else 60.0
    caplog.set_level(logging.WARNING, "vccapp.trackers")
    with follow_run(run, (name, "seen"), end_seconds=waits), MetricsLog(run.folder) as log:
        for line in LINES:
            log(dict(line))
    told = [message for message in caplog.messages if f" {name} " in message]
    assert len(told) == 1 and (name == "hanging" or caplog.messages == told)
    assert len(read_lines(run.folder)) == len(LINES)


@pytest.mark.usefixtures("known")
def test_a_tracker_of_a_run_whose_folder_is_deleted_brings_nothing_back(run: Tracked) -> None:
    folder = run.folder / "run"
    folder.mkdir()
    gone = Tracked(run.id, run.title, folder, run.home, run.config)
    with follow_run(gone, ("seen",), look_seconds=0.01):
        while not (any(folder.glob("events.*")) and (folder / "trackers" / "seen.json").exists()):  # both have begun
            time.sleep(0.01)
        folder.rename(run.folder / "moved")
    assert not folder.exists()


def test_the_record_of_what_a_tracker_had_is_refused_where_it_is_damaged(
    run: Tracked, known: None, caplog: pytest.LogCaptureFixture
) -> None:
    (run.folder / "trackers").mkdir()
    for text in ('{"format": "tracked run", "ver', '{"format": "tracked run", "version": 1}', '{"format": "x"}'):
        (run.folder / "trackers" / "seen.json").write_text(text)
        with caplog.at_level(logging.WARNING, "vccapp.trackers"):
            train(run, LINES, "seen")
        assert Seen.calls == [] and "seen.json" in caplog.text
        caplog.clear()
