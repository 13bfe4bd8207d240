"""Pages of plug-ins in the navigation, and what is said of those that cannot be used."""

from pathlib import Path

import pytest
from page_kit import open_alone, use

from vccapp import plugins
from vccapp.plugins import Plugin, plugin_faults
from vccapp.settings import Settings
from vccapp.ui.kit import frame
from vccapp.wording import plain

RECORD = '"""Markers: what they do.\n\nsection: Mine\nicon: :material/star:\norder: 1\n"""\n'


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules; each is a page of a plug-in once it is asked for."""
    monkeypatch.setattr(plugins, "_faults", {})
    monkeypatch.setattr(Plugin, "source", property(lambda plugin: tmp_path / f"{plugin.module}.py"))
    found = lambda kind: [Plugin(kind, p.stem, p.stem, "mine 1.0") for p in sorted(tmp_path.glob("*.py"))]  # noqa: E731
    monkeypatch.setattr(frame, "plugins_of", found)
    frame._read_added.cache_clear()
    yield tmp_path
    frame._read_added.cache_clear()


def test_a_page_has_its_place(pages: Path) -> None:
    (pages / "markers.py").write_text(RECORD)
    first = frame.read_pages()[0]
    assert (first.path, first.title, first.section) == (pages / "markers.py", "Markers", "Mine")
    assert not plugin_faults()


@pytest.mark.parametrize(
    ("name", "text"), [("genes", RECORD), ("broken", "def (\n"), ("bare", ""), ("half", '"""Half: a page."""\n')]
)
def test_one_that_cannot_be_used_is_left_out_and_said_on_every_page(
    name: str, text: str, pages: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pages / f"{name}.py").write_text(text)
    assert pages not in [record.path.parent for record in frame.read_pages()]
    [fault] = plugin_faults().values()
    assert "mine 1.0" in fault and f"page '{name}'" in fault
    use(settings, monkeypatch)
    page = open_alone("glossary")
    assert not page.exception and [warning.value for warning in page.warning] == [plain(fault)]
