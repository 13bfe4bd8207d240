"""The ladder by commands: a plan like another, built, sent, scored, compared, made again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from desk import make_desk
from page_kit import ask as ask_command
from page_kit import use

from vccapp.cli import main
from vccapp.settings import Settings

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_desk(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
def here(made: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return use(made, monkeypatch)


@pytest.fixture
def call(here: Settings, capsys: pytest.CaptureFixture) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*map(str, words)])
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def ask(here: Settings, capsys: pytest.CaptureFixture) -> Callable[..., Any]:
    return lambda *words: ask_command(["vccapp", *map(str, words)], capsys)


@pytest.mark.slow
def test_the_ladder(here: Settings, call: Call, ask: Callable[..., Any], tmp_path: Path) -> None:
    first = ask("submit", "show", "first")
    second = ask("submit", "plan", "--like", "first", "--run", "two", "--name", "second")
    assert second["cells"] == first["cells"] and second["seed"] == first["seed"]
    assert [source["run"] for source in second["sources"].values()] == ["two"]
    ask("submit", "build", "second")
    ask("submit", "ledger", "note", "second", "one rung up")
    assert ask("submit", "ledger", "tag", "second", "c2", "ladder", "--remove", "c1")["tags"] == ["c2", "ladder"]
    code, _, told = call("submit", "ledger", "sent", "second", "--phase", "final", "--when", "2026-10-30T10:00")
    assert code == 0 and "second was sent last in vcc2025 final" in told and "practice" in told
    official = tmp_path / "status.json"
    official.write_text(json.dumps({"entry_id": "e", "is_final": True, "rank": 3, "score_avg": 0.4, "mae_score": 0.1}))
    result = ask("submit", "ledger", "score", "second", "--json-file", official)
    assert (result["phase"], result["rank"], result["scores"]) == ("final", 3, {"overall": 0.4, "mae": 0.1})
    ask("submit", "ledger", "score", "first", "--score", "overall=0.3", "--phase", "final", "--date", "2026-10-29")
    listed = ask("submit", "ledger", "list")
    assert [(row["submission"], row["rank"], row["counts"]) for row in listed["ranked"]] == [
        ("second", 1, True),
        ("first", 2, False),
    ]
    assert [row["best"] for row in listed["best"]] == [0.3, 0.4]
    shown = ask("submit", "ledger", "show", "second")
    assert shown["note"] == "one rung up" and shown["making"]["run"] == "two" and len(shown["results"]) == 1
    compared = ask("submit", "ledger", "compare", "first", "second")
    assert {row["what"] for row in compared["making"] if row["differs"]} >= {"run", "model"}
    assert [row["difference"] for row in compared["official"] if row["metric"] == "overall"] == [pytest.approx(0.1)]
    for words in (("list",), ("show", "second"), ("compare", "first", "second")):
        code, out, _ = call("submit", "ledger", *words)
        assert code == 0 and "second" in out and "Traceback" not in out
    code, out, _ = call("submit", "ledger", "compare", "first", "second", "--csv", "-", "--table", "official")
    assert code == 0 and out.splitlines()[0] == "season,phase,scale,judged,metric,a,b,difference"


@pytest.mark.slow
def test_made_again(here: Settings, call: Call, ask: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "again.vcc"
    found = ask("submit", "reproduce", "first", "--output", out)
    assert found["same"] and out.read_bytes() == (here.submissions / "first" / "first.vcc").read_bytes()
    folder = here.checkpoints / "one"
    folder.rename(tmp_path / "away")
    code, out_text, told = call("submit", "reproduce", "first", "--json")
    (tmp_path / "away").rename(folder)
    assert code == 1 and "cannot be made again" in told
    gone = [piece for piece in json.loads(out_text)["pieces"] if piece["status"] == "gone"]
    assert [piece["what"] for piece in gone] == ["run"] and gone[0]["fix"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "--like", "first", "--run", "two", "--seed", "0"), "like_alone"),
        (("plan", "--like", "absent", "--run", "two"), "file_missing"),
        (("ledger", "show", "absent"), "unknown_submission"),
        (("ledger", "score", "first"), "one_source"),
        (("ledger", "score", "first", "--score", "x=1"), "bad_result"),
        (("ledger", "score", "first", "--json-file", "absent.json"), "file_missing"),
        (("ledger", "sent", "first", "--when", "yesterday"), "bad_time"),
        (("ledger", "score", "first", "--score", "overall=1", "--date", "1 May"), "bad_time"),
        (("ledger", "list", "--table", "none"), "unknown_table"),
        (("reproduce", "absent"), "unknown_submission"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], code: str, call: Call) -> None:
    ended, _, told = call("submit", *words, "--json")
    assert ended == 2 and json.loads(told.strip().splitlines()[-1])["code"] == code
