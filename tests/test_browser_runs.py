"""The page Runs in a real headless Chromium: two runs compared, one cloned with a change, one deleted and back again.

`PICTURES=folder python -m pytest tests/test_browser_runs.py` keeps a picture of each view, light and dark.
"""

import os
from pathlib import Path

import pytest
from browser import SECOND, Server, charts, heading, need_chromium, open_browser, settle
from desk import make_desk
from playwright.sync_api import Page, expect

from vccapp.settings import Settings
from vccapp.training import list_runs, load_run, train
from vccapp.training.runs.bin import list_deleted

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SMALL = {"width": 16, "inner": 8, "code": 4, "batch_size": 32, "embedding": "expression", "epoch_steps": 1, "epochs": 4}
ROW, BOX = 35, 20
"""Pixels: height of a table's row, and where the box that chooses it stands."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two runs of a network that differ in one parameter, begun after two without steps."""
    need_chromium()
    settings = make_desk(tmp_path_factory.mktemp("runs"))
    spec = load_run("one", settings).spec.model_copy(update={"model": "scouter", "params": SMALL, "title": "narrow"})
    train(spec, settings, run_id="net")
    wider = {"params": SMALL | {"direction": 0.5}, "title": "directed"}
    train(spec.model_copy(update=wider), settings, run_id="directed")
    return settings


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


def open_runs(page: Page, server: Server, query: str = "") -> None:
    page.goto(f"{server.url}/runs{query}")
    expect(heading(page)).to_have_text("Runs", timeout=60 * SECOND)
    settle(page)


def choose_row(page: Page, number: int) -> None:
    """Click the box of a row of the table; the first is 0."""
    table = page.locator("[class*=st-key-runs_table_]").get_by_test_id("stDataFrame").first
    table.click(position={"x": BOX, "y": ROW * (number + 1.5)})
    settle(page)


def cells(page: Page, name: str) -> list[str]:
    """What stands in a table, cell by cell, as those who cannot see it are told. name : its alt text"""
    table = page.get_by_role("region", name=name)
    table.scroll_into_view_if_needed()
    expect(table.locator("td").first).to_be_attached()
    return table.locator("td").all_text_contents()


def keep(page: Page, pictures: Path, name: str, scheme: str) -> None:
    """A picture of all that the page shows, as if the window were tall enough."""
    before = page.viewport_size
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": before["width"], "height": max(height, before["height"])})
    page.wait_for_timeout(500)  # until it stands still
    page.screenshot(path=pictures / f"runs-{name}-{scheme}.png")
    page.set_viewport_size(before)


def test_two_runs_are_compared_by_curves_and_differences(server: Server, pictures: Path, scheme: str) -> None:
    with open_browser(dark=scheme == "dark") as page:
        open_runs(page, server)
        keep(page, pictures, "list", scheme)
        choose_row(page, 0)
        expect(page.locator(".st-key-runs_one")).to_be_visible()
        choose_row(page, 1)
        several = page.locator(".st-key-runs_several")
        expect(several.get_by_text("2 runs")).to_be_visible()
        expect(charts(page).nth(1)).to_be_visible()
        assert {"narrow", "directed"} <= set(charts(page).first.locator("text").all_text_contents())
        keep(page, pictures, "curves", scheme)
        several.get_by_role("radio", name="Differences").click()
        settle(page)
        found = cells(page, "What differs between the runs")
        assert "direction" in found and "0.5" in found
        assert "width" not in found  # which both have in common
        keep(page, pictures, "differences", scheme)


def test_a_run_is_cloned_with_a_change(server: Server, settings: Settings, pictures: Path) -> None:
    known = {run.id for run in list_runs(settings)}
    with open_browser() as page:
        open_runs(page, server, "?run=directed")
        page.get_by_role("link", name="Clone into the form").click()
        expect(heading(page)).to_have_text("Train")
        settle(page)
        for key, old, new in (("scouter_direction", "0.5", "0.25"), ("title", "directed", "cloned")):
            field = page.locator(f".st-key-train_{key} input")
            expect(field).to_have_value(old)
            field.fill(new)
            field.press("Enter")
            expect(page.locator("code", has_text=new).first).to_be_visible()
            settle(page)
        page.get_by_role("button", name="Start training").click()
        newest = page.locator("[class*=st-key-train_newest_]").filter(has_text="cloned")
        expect(newest.get_by_text("finished")).to_be_visible(timeout=120 * SECOND)
        [made] = [run for run in list_runs(settings) if run.id not in known]
        assert made.spec.params == load_run("directed", settings).spec.params | {"direction": 0.25}
        open_runs(page, server, f"?run={made.id}")
        found = cells(page, "What differs between the runs")
        assert {"direction", "0.5", "0.25"} <= set(found)
        keep(page, pictures, "changed", "light")


def test_a_run_is_deleted_and_brought_back(server: Server, settings: Settings, pictures: Path) -> None:
    before = load_run("two", settings)
    with open_browser() as page:
        open_runs(page, server, "?run=two")
        page.locator(".st-key-runs_one").get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete this run").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        settle(page)
        assert not before.folder.exists() and [one.run for one in list_deleted(settings)] == ["two"]
        keep(page, pictures, "deleted", "light")
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".st-key-runs_one").get_by_text("Knock-down mean").first).to_be_visible()
        settle(page)
    assert load_run("two", settings) == before and not list_deleted(settings)
    assert "Traceback" not in server.log()
