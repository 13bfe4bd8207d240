"""`vccapp season`: list, show and open, for people and as JSON, with exit codes."""

import json
from pathlib import Path

import pytest
from bundles import make_bundle
from custom_season import write_season

from vccapp.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VCCAPP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def call(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["season", *words])
    return int(end.value.code or 0), *capsys.readouterr()


def ask(capsys: pytest.CaptureFixture, *words: str) -> dict:
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_seasons_are_listed_and_shown(capsys: pytest.CaptureFixture) -> None:
    found = ask(capsys, "list")
    assert [season["name"] for season in found["seasons"]] == ["vcc2025", "vcc2026"] and found["unreadable"] == []
    code, out, _ = call(capsys, "list")
    assert code == 0 and "18,080" in out and "validation, final" in out
    shown = ask(capsys, "show", "vcc2025", "--phase", "validation")
    assert shown["max_cells"] == 100_000 and len(shown["targets"]) == 50
    assert shown["phases"][0]["n_cells"] == 60_751 and not shown["needs_bundle"]
    code, out, _ = call(capsys, "show", "2026")
    assert code == 0 and "2026-11-05" in out and "11:59 or 23:59" in out and "vcc-cli" in out


def test_a_bundle_is_opened_and_shown(capsys: pytest.CaptureFixture, tmp_path: Path, home: Path) -> None:
    folder = make_bundle(tmp_path / "controls")
    found = ask(capsys, "open", str(folder))
    assert (found["season"], found["phase"], found["n_targets"]) == ("vcc2026", "validation", 3)
    assert found["controls"]["B"] == {"path": str(folder / "context_B.h5ad"), "cells": 20}
    shown = ask(capsys, "show", "vcc2026", "--phase", "validation")
    assert shown["phases"][0]["known"] and not shown["phases"][1]["known"] and shown["needs_bundle"]
    assert shown["phases"][0]["n_cells"] == 3 * 3 * 400
    assert shown["phases"][0]["bundle"]["folder"] == str(home / "seasons" / "vcc2026" / "validation")
    code, out, _ = call(capsys, "show", "vcc2026")
    assert code == 0 and str(home / "seasons" / "vcc2026" / "validation") in out
    record = home / "seasons" / "vcc2026" / "validation" / "bundle.json"
    record.write_text("{")
    [told] = ask(capsys, "list")["unreadable"]
    assert told["code"] == "record_damaged" and told["path"] == str(record)


def test_a_season_of_ones_own(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    path = write_season(tmp_path)
    assert ask(capsys, "open", str(path))["name"] == "contest"
    assert ask(capsys, "show", "contest")["cells_per_target"] == 50
    write_season(tmp_path, max_cells=2000)
    code, _, err = call(capsys, "open", str(path), "--json")
    assert code == 2 and json.loads(err)["code"] == "season_exists"
    assert ask(capsys, "open", str(path), "--replace")["max_cells"] == 2000


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "vcc1999"), "unknown_name"),
        (("show", "../vcc2025"), "unknown_name"),
        (("show", "vcc2025", "--phase", "last"), "unknown_phase"),
        (("open", "nothing.zip"), "file_missing"),
        (("open", "nothing.toml"), "file_missing"),
        (("open", "x.toml", "--phase", "final"), "phase_given"),
    ],
)
def test_refusals(words: tuple[str, ...], code: str, capsys: pytest.CaptureFixture) -> None:
    exit_code, _, err = call(capsys, *words, "--json")
    assert exit_code == 2 and json.loads(err)["code"] == code
