"""No text of any page is cut, shortened or lies on another, in a small and in a large window.

Measured in the browser by support/layout.js: what charts write as SVG or into a canvas, and the labels, buttons and
boxes around them.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import SECOND, Server, heading, need_chromium, open_browser, settle
from playwright.sync_api import Page, expect

from vccapp.jobs.keeping.launch import environment
from vccapp.settings import Settings
from vccapp.ui.kit.frame import HOME, read_pages

pytestmark = pytest.mark.browser

SIZES = ({"width": 1024, "height": 768}, {"width": 1440, "height": 900})
MEASURE = Path(__file__).parent / "support/layout.js"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo with a split and two runs, and the app on it."""
    need_chromium()
    folder = tmp_path_factory.mktemp("layout")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints")
    prepare = (
        ["data", "demo"],
        ["split", "make", "Demo (simulated)", "--name", "standard"],
        ["train", "start", "perturbation_mean", "--split", "standard"],
        ["train", "start", "scouter", "--split", "standard", "--set", "steps=4", "--set", "genes=50"],
    )
    for words in prepare:
        subprocess.run([sys.executable, "-m", "vccapp", *words], check=True, env=environment(settings))
    server = Server(settings)
    server.start()
    yield server
    server.kill()


def faults(page: Page) -> list[str]:
    """What is wrong with the page as it stands, in each size of the window."""
    found = []
    for size in SIZES:
        page.set_viewport_size(size)
        measured = page.wait_for_function("measureWhenStill()", timeout=60 * SECOND).json_value()
        found += [f"{size['width']} px: {fault}" for fault in measured]
    return found


@pytest.mark.parametrize("name", [record.path.stem for record in read_pages()])
def test_nothing_is_cut_at_1024_and_1440(server: Server, name: str) -> None:
    with open_browser() as page:
        page.add_init_script(path=MEASURE)
        page.goto(server.url if name == HOME else f"{server.url}/{name}")
        expect(heading(page)).to_be_visible()
        settle(page)
        found = faults(page)
        tabs = page.get_by_test_id("stMain").get_by_role("tab")
        for number in range(1, tabs.count()):
            title = tabs.nth(number).inner_text()
            tabs.nth(number).click()
            settle(page)
            found += [f"{title}, {fault}" for fault in faults(page)]
    assert not found, "\n".join(found)


BROKEN = """<body style="margin: 0; font: 16px sans-serif"><div data-testid="stApp"><main data-testid="stMain">
<p style="width: 60px; overflow: hidden; white-space: nowrap">a label that is cut</p>
<p style="width: 400px">a label that fits</p>
<input style="width: 60px" placeholder="a text that is cut">
<div data-testid="stVegaLiteChart" aria-label="svg" style="width: 200px; height: 60px">
  <svg width="200" height="60"><text x="150" y="20">over the edge</text>
  <text x="5" y="40">fits</text><text x="8" y="42">lies</text><text x="5" y="58">short…</text></svg></div>
<div data-testid="stVegaLiteChart" aria-label="canvas" style="width: 200px; height: 60px">
  <canvas width="200" height="60"></canvas></div>
<script>
  const context = document.querySelector("canvas").getContext("2d");
  context.font = "14px sans-serif";
  context.fillText("an earlier drawing, wider than all", 0, 20);
  context.clearRect(0, 0, 200, 60);
  context.fillText("over the edge too", 150, 20);
  context.rotate(-Math.PI / 2);
  context.fillText("a turned text that is longer than its side", -60, 20);
</script></main></div></body>"""


def test_the_measure_finds_what_is_cut_and_only_that() -> None:
    need_chromium()
    with open_browser() as page:
        page.route(
            "http://layout.test/", lambda route: route.fulfill(body=BROKEN, content_type="text/html; charset=utf-8")
        )
        page.add_init_script(path=MEASURE)
        page.goto("http://layout.test/")
        found = page.evaluate("measureLayout()")
    starts = [
        "svg: 'over the edge' is cut by",
        "svg: 'short…' is shortened",
        "svg: 'fits' lies on 'lies'",
        "canvas: 'over the edge too' is cut by",
        "canvas: 'a turned text that is longer than its side' is cut by",
        "'a label that is cut' is cut",
        "'a text that is cut' is cut in its box",
    ]
    assert len(found) == len(starts), found
    for start in starts:
        assert any(line.startswith(start) for line in found), (start, found)
