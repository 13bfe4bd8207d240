"""The one fragment that keeps what is live up to date."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import vccapp.ui
from vccapp.ui.kit import live


class Rerun(Exception):
    """In place of a new run of the page."""


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let the fragment look once: what it drew."""

    def again() -> None:
        raise Rerun

    monkeypatch.setattr(live.st, "rerun", again)

    def run(found: str, *, watched: str, first: list[str]) -> list[str]:
        drawn = []
        live._draw(lambda: found, drawn.append, str.upper, watched, first)
        return drawn

    return run


def test_what_was_read_first_is_drawn_and_not_read_again(look: Callable[..., list[str]]) -> None:
    first = ["a"]
    assert look("never read", watched="A", first=first) == ["a"]
    assert look("a", watched="A", first=first) == ["a"]


def test_a_change_of_what_goes_on_draws_the_whole_page(look: Callable[..., list[str]]) -> None:
    for found in ("b", ""):
        with pytest.raises(Rerun):
            look(found, watched="A", first=[])
    assert look("b", watched="", first=[]) == ["b"]  # nothing was watched: no clock runs


def test_several_live_parts_stand_on_one_page() -> None:
    def page() -> None:
        import streamlit as st

        from vccapp.ui.kit.live import draw_live

        for name in ("first", "second"):
            draw_live(lambda name=name: name, st.markdown, watch=str)

    shown = AppTest.from_function(page).run()
    assert not shown.exception
    assert [text.value for text in shown.markdown] == ["first", "second"]


def test_nothing_else_runs_by_the_clock() -> None:
    files = Path(vccapp.ui.__file__).parent.rglob("*.py")
    assert [path.name for path in files if "run_every" in path.read_text()] == ["live.py"]
