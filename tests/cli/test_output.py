"""What reaches a terminal: no name of a file, a label or a title is obeyed, and none makes a line of its own."""

import ast
from pathlib import Path

import pytest
from places import ROOT
from toy import make_counts

from vccapp.cli import main
from vccapp.cli.output import format_fields, format_lines, format_table, show, tell
from vccapp.data.splits.split import Split, write_split
from vccapp.errors import LONGEST_WORD, DataError, clean_lines, one_line
from vccapp.settings import Settings

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202eevil\u2066\x9b31m\rforged\nok      forged  succeeded\u2028line\x00\u200b"
SPELT = r"\x1b]0;pwned\x07\x1b[2J\u202eevil\u2066\x9b31m\rforged\nok      forged  succeeded\u2028line\x00\u200b"
PRINTERS = {"output.py", "following.py", "__init__.py"}
"""Of the command line, those that print; the others hand them what to print."""


def assert_tame(text: str) -> None:
    """Nothing that a terminal obeys, and no line that begins with what the hostile name forges."""
    assert not {char for char in text if clean_lines(char) != char}
    assert not [line for line in text.splitlines() if line.lstrip().startswith(("forged", "ok      forged", "line"))]


def test_one_line_spells_out_what_is_obeyed_or_unseen() -> None:
    assert one_line(HOSTILE) == SPELT
    assert one_line("\ud800\U000e0041") == r"\ud800\U000e0041"
    for plain in ("MYC", "Ünïcödé 細胞 é", "a b", "C:\\n", ""):
        assert one_line(plain) == plain


def test_an_error_is_one_line_and_not_endless() -> None:
    error = DataError("any", f"no {HOSTILE}", found=HOSTILE, fix=f"choose {'x' * 5000}")
    assert SPELT in str(error)
    assert len(str(error)) < len(SPELT) + LONGEST_WORD + 50
    assert error.found == HOSTILE


def test_tables_fields_and_lines_keep_their_shape(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{HOSTILE: HOSTILE, "n": 1}, {HOSTILE: "b", "n": 2}]
    assert len(format_table(rows, [HOSTILE, "n"]).splitlines()) == 3
    assert len(format_fields({HOSTILE: HOSTILE, "b": 1}).splitlines()) == 2
    assert format_lines([HOSTILE, "b"]) == f"{SPELT}\nb"
    tell(HOSTILE)
    assert capsys.readouterr().err == f"{SPELT}\n"
    show({"name": HOSTILE}, lambda: "unused", as_json=True)
    assert_tame(capsys.readouterr().out)
    show(None, lambda: "a\tb\n\x1b[2Jc", as_json=False)
    assert capsys.readouterr().out == "a\tb\n\\x1b[2Jc\n"


def run(*words: object) -> None:
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        assert end.code in (None, 0, 1, 2)


@pytest.mark.slow
def test_listings_of_hostile_names(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("HOME", settings.home), ("CHECKPOINTS", settings.checkpoints), ("DATA_ROOTS", tmp_path)):
        monkeypatch.setenv(f"VCCAPP_{name}", str(value))
    file = tmp_path / f"{HOSTILE.replace(chr(0), '')}.h5ad"
    cells = make_counts(n_cells=120, n_genes=40)
    first = next(label for label in cells.obs["target_gene"].unique() if label != "non-targeting")
    labels = cells.obs["target_gene"].astype(str).replace(first, HOSTILE.replace("\x00", ""))
    cells.obs["target_gene"] = labels.astype("category")
    cells.write_h5ad(file)
    write_split(
        Split(name="hostile", dataset="0" * 16, method="lists", seed=0, train=(HOSTILE,), val=("B",), test=("C",)),
        settings,
    )
    commands = [
        ("data", "describe", file),
        ("data", "describe", tmp_path / f"none{HOSTILE.replace(chr(0), '')}"),
        ("data", "list"),
        ("split", "list"),
        ("split", "show", "hostile"),
        ("split", "show", HOSTILE),
        ("train", "list"),
        ("train", "status", HOSTILE),
        ("train", "start", HOSTILE, "--split", HOSTILE),
        ("submit", "list"),
        ("submit", "check", file),
        ("jobs", "list"),
        ("jobs", "show", HOSTILE),
        ("eval", "entered", "list"),
        ("glossary", HOSTILE),
    ]
    for words in commands:
        run(*words)
        told = capsys.readouterr()
        assert told.out or told.err, words
        assert_tame(told.out)
        assert_tame(told.err)


def prints(source: str) -> list[int]:
    """The lines that print by themselves."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if ast.unparse(call.func) in ("print", "typer.echo", "sys.stdout.write")]


def test_commands_print_through_one_place() -> None:
    folder = ROOT / "vccapp" / "cli"
    found = {path.relative_to(folder).as_posix(): prints(path.read_text()) for path in folder.rglob("*.py")}
    once = {"eval/options.py", "runs/listing.py"}  # the CSV of `--csv -`; the lines of `--follow`, each cleaned
    assert {name for name, lines in found.items() if lines} <= PRINTERS | once | {"submit/files.py", "eval/files.py"}
    assert [len(found[name]) for name in once] == [1, 1]
    assert prints("print(1)\ntyper.echo(2)") == [1, 2]
