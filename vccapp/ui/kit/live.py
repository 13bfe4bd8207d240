"""What changes while work goes on in the background: drawn again every two seconds, wherever it is shown."""

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

REFRESH_SECONDS = 2.0

T = TypeVar("T")
Watched = str | tuple[str, ...]


def draw_live(read: Callable[[], T], draw: Callable[[T], None], *, watch: Callable[[T], Watched]) -> None:
    """Read and draw, and again and again while there is something to watch.

    watch : what goes on, told from what was read; empty when nothing does. When it changes the whole page is drawn anew
    """
    first = read()
    watched = watch(first)
    st.fragment(_draw, run_every=REFRESH_SECONDS if watched else None)(read, draw, watch, watched, [first])


def _draw(
    read: Callable[[], T],
    draw: Callable[[T], None],
    watch: Callable[[T], Watched],
    watched: Watched,
    first: list[T],
) -> None:
    """first : what was just read, for the first time only."""
    found = first.pop() if first else read()
    if watched and watch(found) != watched:
        st.rerun()
    draw(found)
