"""The names of `vccapp.ui`: those that pages use stand in the stub, and each is there."""

import ast
from pathlib import Path

import pytest
from places import ROOT

from vccapp import ui

SCRIPTS = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]


def used(path: Path) -> set[str]:
    """What a script takes from `ui`."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "ui"}


def test_every_name_of_the_stub_is_there() -> None:
    for name in ui.__all__:
        assert getattr(ui, name) is not None


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_pages_use_names_of_the_stub_alone(path: Path) -> None:
    assert used(path)
    assert used(path) <= set(ui.__all__)


def test_no_name_is_kept_for_nobody() -> None:
    plugins = {"kit", "open_page", "need_index", "show_chart", "show_table", "reproduce"}
    assert set(ui.__all__) - plugins <= set().union(*map(used, SCRIPTS))
