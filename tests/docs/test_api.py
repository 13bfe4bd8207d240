"""The Python API: its names are there, sorted, typed and explained, and the examples of its page run."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from places import ROOT

import vccapp

PAGE = (ROOT / "docs" / "api.md").read_text()
NAMES = [name for name in vccapp.__all__ if not name.startswith("_")]


def test_names_are_those_of_the_page() -> None:
    rows = PAGE.split("## All names")[1]
    assert (
        sorted(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in rows.splitlines() if "|" in line)))
        == NAMES
    )
    assert 25 <= len(NAMES) <= 40


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_imported_and_explained(name: str) -> None:
    found = getattr(vccapp, name)
    assert found.__doc__


@pytest.mark.slow
def test_the_examples_of_the_page_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"folder": tmp_path, "now": datetime.now(UTC)}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/api.md", "exec"), names)
    assert names["package"].is_file() and names["score"].means
    assert "unknown_run |" in capsys.readouterr().out
