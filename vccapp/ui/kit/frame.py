"""The frame around every page: navigation, sidebar, heading, and the one place where errors become sentences.

A page is a file in `pages/`, or of a plug-in, whose docstring is its navigation record:

    \"\"\"Genes: which genes are measured, how strongly, and what perturbations do to them.

    section: Statistics
    icon: :material/genetics:
    order: 20
    \"\"\"

`app.py` calls `navigate`, which draws navigation and sidebar and runs the page; the page calls `open_page(__file__)`.
A page that is opened without `app.py` (the first request after a server start, when it is a deep link) gets the same
frame from its own `open_page`.
"""

import ast
import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st

from vccapp.data.places import ASSETS, PAGES
from vccapp.errors import SpecError, VccAppError
from vccapp.faults import describe, write_log
from vccapp.plugins import add_fault, plugin_faults, plugins_of
from vccapp.ui.kit.loaders import current_settings
from vccapp.wording import plain

LOGO = ASSETS / "logo.svg"
STYLE = Path(__file__).with_suffix(".css")
HOME = "overview"
"""The page at the root of the URL."""

_framed: ContextVar[bool] = ContextVar("framed", default=False)


@dataclass(frozen=True)
class PageRecord:
    """What navigation knows of a page, read from its docstring."""

    path: Path
    title: str
    lead: str
    section: str
    icon: str
    order: int


@cache
def read_page(path: Path) -> PageRecord:
    """The navigation record in the docstring of a page file."""
    first, *rest = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    title, _, lead = first.partition(": ")
    fields = dict(line.split(": ", 1) for line in rest if ": " in line)
    if not lead or not {"section", "icon", "order"} <= fields.keys():
        raise SpecError(
            "page_record",
            f"The docstring of {path.name} is not 'Title: lead' and lines that give section, icon and order",
            found=first,
            fix="begin it as the pages of vccapp do",
        )
    lead = lead[0].upper() + lead[1:]
    return PageRecord(path, title, lead, fields["section"], fields["icon"], int(fields["order"]))


def read_pages() -> list[PageRecord]:
    """All pages, those of plug-ins too, in the order of the navigation."""
    own = [read_page(path) for path in PAGES.glob("*.py")]
    return sorted([*own, *_read_added()], key=lambda record: record.order)


@cache
def _read_added() -> list[PageRecord]:
    """The pages of plug-ins; one that cannot be used is left out, and said."""
    taken, records = {path.stem for path in PAGES.glob("*.py")}, []
    for plugin in plugins_of("page"):
        try:
            record = read_page(plugin.source.resolve())
            if record.path.stem in taken:
                raise SpecError("name_taken", f"Two pages are called '{record.path.stem}'", fix="rename one of them")
        except Exception as error:  # whatever a stranger's package does
            add_fault(plugin, error)
        else:
            taken.add(record.path.stem)
            records.append(record)
    return records


def navigate() -> None:
    """Draw navigation and sidebar, then run the page that the URL names."""
    page = _draw_frame()
    token = _framed.set(True)
    try:
        page.run()
    finally:
        _framed.reset(token)


def open_page(file: str) -> PageRecord:
    """Begin a page: its heading, inside the frame."""
    record = read_page(Path(file).resolve())
    if not _framed.get():
        _draw_frame()
    from vccapp.ui.kit.sidebar import dataset_line

    st.title(record.title, anchor=False)
    st.caption(record.lead + dataset_line())
    for fault in plugin_faults().values():
        st.warning(plain(fault), icon=":material/extension_off:")
    return record


def page_link(name: str, label: str, **params: str) -> None:
    """A link to another page of the app, by file stem, with these values in its URL."""
    record = read_page(PAGES / f"{name}.py")
    st.page_link(_page(record), label=plain(label), icon=record.icon, query_params=params or None)


@contextlib.contextmanager
def errors_shown() -> Iterator[None]:
    """Say an error where it happened, and let the rest of the page go on."""
    try:
        yield
    except Exception as error:
        show_error(error)


def show_error(error: Exception) -> bool:
    """Show one sentence for any error; what no part of the app refused is also written to the workspace's app.log.

    Returns True: the error has been shown.
    """
    if isinstance(error, VccAppError):
        st.error(plain(error), icon=":material/error:")
        return True
    logging.getLogger("vccapp").error("a page failed", exc_info=error)
    try:
        home = current_settings().home
    except VccAppError as wrong:  # without settings nothing else can be well
        return show_error(wrong)
    code, sentence = describe(error)
    log = write_log(error, home)
    again = " Reload the page to try again." if code == "unexpected" else ""
    st.error(plain(f"{sentence}{again}{f' Log: {log}.' if log else ''}"), icon=":material/error:")
    return True


def _page(record: PageRecord) -> st.Page:
    home = record.path.stem == HOME
    return st.Page(record.path, title=record.title, icon=record.icon, default=home, help=record.lead)


def _draw_frame() -> st.Page:
    from vccapp.ui.kit.sidebar import draw_sidebar

    st.set_page_config(page_title="vccapp", page_icon=str(LOGO), layout="wide")
    st.html(STYLE)
    st.logo(str(LOGO), size="large")
    sections: dict[str, list] = {}
    for record in read_pages():
        sections.setdefault(record.section, []).append(_page(record))
    page = st.navigation(sections, expanded=True)
    _require_settings()
    draw_sidebar()
    return page


def _require_settings() -> None:
    """Where the settings are wrong, say so and end the page."""
    try:
        current_settings()
    except VccAppError as error:
        show_error(error)
        st.stop()
