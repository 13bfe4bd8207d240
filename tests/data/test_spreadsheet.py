"""The one writer of CSV: no formula goes out alive, no number changes."""

import ast
import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from places import ROOT

from vccapp.data.spreadsheet import escape_cells, to_csv, write_csv

FORMULAS = [
    "=cmd()",
    "+1",
    "-A",
    "@x",
    " =x",
    "\t=x",
    "\n=x",
    "\r=x",
    "\ufeff=x",
    "\u200b=x",
    "\u00a0=x",
    "＝x",
    "＋x",
    "－x",
]
FORMULAS += ["＠x", "\ttab", "\rreturn", "\nline", '"=x', "'=x", "  ＝x", "\x00=x", "\u3000@x"]


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_made_text_in_cells_and_headers(formula: str) -> None:
    frame = pd.DataFrame({formula: [formula, "MYC"], "value": [-1.5, 2]})
    header, first, second = read(to_csv(frame))
    assert header == [f"'{formula}", "value"]
    assert first == [f"'{formula}", "-1.5"]
    assert second == ["MYC", "2.0"]


@pytest.mark.parametrize(
    "text", ["MYC", "a=b", "HLA-A", "x@y", "3'UTR", "a\rb", "a\r=b", "a\n=b", 'say "x"', "a,b", ""]
)
def test_other_text_comes_back_as_it_was(text: str) -> None:
    assert read(to_csv(pd.DataFrame({"a": [text], "b": ["end"]})))[1] == [text, "end"]


def test_a_carriage_return_makes_no_row() -> None:
    data = to_csv(pd.DataFrame({"gene": ["a\r=cmd()", "b"], "n": [1, 2]}))
    assert b'"a\r=cmd()"' in data


def test_numbers_stay_as_they_are() -> None:
    numbers = np.array([-1.0, 1e-300, np.nan, -np.inf, 0.1 + 0.2])
    frame = pd.DataFrame({"n": numbers, "k": [-1, 2, 3, 4, 5], "flag": [True, False, True, True, False]})
    frame["mixed"] = pd.Series([-1.5, None, "-x", True, "y"], dtype=object)
    assert to_csv(frame[["n", "k", "flag"]]).decode() == frame[["n", "k", "flag"]].to_csv(index=False)
    assert [row[3] for row in read(to_csv(frame))[1:]] == ["-1.5", "", "'-x", "True", "y"]


def test_categories_and_repeated_columns() -> None:
    categories = pd.DataFrame({"gene": pd.Categorical(["=x", "MYC"])})
    assert escape_cells(categories)["gene"].tolist() == ["'=x", "MYC"]
    twice = pd.DataFrame([["=a", "=b"]], columns=["gene", "gene"])
    assert read(to_csv(twice)) == [["gene", "gene"], ["'=a", "'=b"]]
    assert twice.iloc[0].tolist() == ["=a", "=b"]
    assert to_csv(pd.DataFrame(columns=["a", "=b"])) == b"a,'=b\n"


def test_a_file_is_what_a_download_is(tmp_path: Path) -> None:
    frame = pd.DataFrame({"gene": ["=x"]})
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == to_csv(frame)


def writers(source: str) -> list[int]:
    """The lines that write a frame, or rows, as CSV by themselves."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and (node.attr in ("to_csv", "savetxt") or (node.attr in ("writer", "DictWriter") and _is_csv(node.value)))
    ]


def _is_csv(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "csv"


@pytest.mark.slow
def test_no_other_place_writes_csv() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("vccapp", "pages")
        for path in (ROOT / folder).rglob("*.py")
        if writers(path.read_text())
    }
    assert found == {"vccapp/data/spreadsheet.py"}


def test_another_writer_would_be_noticed() -> None:
    assert writers("frame.to_csv(path)") == writers("csv.writer(file)") == writers("np.savetxt(path, x)") == [1]
    assert writers("to_csv(frame)") == []
