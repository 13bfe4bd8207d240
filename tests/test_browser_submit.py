"""The page Submit in a real headless Chromium: a season of one's own, numbers set by hand, a file made elsewhere."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import SECOND, Server, charts, heading, need_chromium, open_browser, settle
from custom_season import write_season
from playwright.sync_api import Page, expect

from vccapp.data.splits.split import load_split
from vccapp.jobs.local import environment
from vccapp.settings import Settings
from vccapp.stats.index import load_index
from vccapp.submission.plan import load_plan
from vccapp.submission.report import find_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo with a split and a run."""
    need_chromium()
    folder = tmp_path_factory.mktemp("submit")
    (folder / "data").mkdir()
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder / "data",))
    prepare = (
        ["data", "demo"],
        ["split", "make", "Demo (simulated)", "--name", "standard"],
        ["train", "start", "knockdown_mean", "--split", "standard"],
    )
    for words in prepare:
        subprocess.run([sys.executable, "-m", "vccapp", *words], check=True, env=environment(settings))
    return settings


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Server]:
    server = Server(settings)
    server.start()
    yield server
    server.kill()


def type_into(page: Page, key: str, text: str) -> None:
    """Type into the box with this key, as Enter takes it."""
    box = page.locator(f".st-key-{key} input")
    box.fill(text)
    box.press("Enter")
    settle(page)


def choose(page: Page, key: str, name: str) -> None:
    """Choose an option of the list with this key."""
    page.locator(f".st-key-{key} input").click()
    page.get_by_role("option", name=name, exact=True).click()
    settle(page)


def step(page: Page, number: int):
    return page.locator(f".st-key-sub_step_{number}")


def test_a_season_of_ones_own_goes_the_whole_way_by_form(server: Server, settings: Settings, tmp_path: Path) -> None:
    [data] = [folder.name for folder in settings.datasets.iterdir()]
    index = load_index(settings.index_of(data))
    genes, targets = tuple(index.genes["gene"]), index.perturbed[:4]
    path = write_season(
        settings.data_roots[0], listed=genes, targets=targets, contexts=["left", "right"], container="vcc2025"
    )
    with open_browser() as page:
        page.goto(f"{server.url}/submit")
        expect(heading(page)).to_have_text("Submit")
        settle(page)
        page.get_by_text("Open a season's files").click()
        type_into(page, "sub_season_file", str(path))
        page.locator(".st-key-sub_season_open button").click()
        expect(page.locator(".st-key-sub_opening").get_by_text("succeeded")).to_be_visible()
        choose(page, "sub_season", "A contest")
        expect(page.get_by_text("exactly 50 cells of each")).to_be_visible()
        expect(step(page, 3).get_by_text("opens when the cells are made")).to_be_visible()
        type_into(page, "sub_name", "whole-way")
        expect(step(page, 1).get_by_text("Its data are simulated").first).to_be_visible()
        expect(charts(page).first).to_be_visible()
        print(page.locator("[data-testid=stMain]").aria_snapshot())
        page.locator(".st-key-sub_build button").click()
        expect(step(page, 4).get_by_text("This package is practice")).to_be_visible(timeout=120 * SECOND)
        expect(step(page, 3).get_by_text("all passed")).to_be_visible()
        with page.expect_download() as download:
            step(page, 4).get_by_role("link", name="Download").click()
        package = tmp_path / "package"
        download.value.save_as(package)
        assert download.value.suggested_filename.startswith("practice-whole-way")
    plan = load_plan("whole-way", settings)
    assert plan.cells == {f"{target}@{context}": 50 for context in ("left", "right") for target in targets}
    report = find_report(plan, settings)
    assert report is not None and report.package is not None and report.kind == "PRACTICE"
    assert hashlib.sha256(package.read_bytes()).hexdigest() == report.package.sha256
    assert "Traceback" not in server.log()


def test_a_number_is_changed_in_the_table_and_kept_in_the_link(server: Server, settings: Settings) -> None:
    with open_browser() as page:
        page.goto(f"{server.url}/submit?sub_cells_of=")
        settle(page)
        page.get_by_text("Change single numbers").click()
        name = next(iter(load_split("standard", settings).test))
        type_into(page, "sub_cells_of", f"{name}=7")
        expect(page.locator("code", has_text=f"--cells-of {name}=7").first).to_be_attached()
        page.reload()
        settle(page)
        expect(page.locator(".st-key-sub_cells_of input")).to_have_value(f"{name}=7")
        type_into(page, "sub_cells_of", f"{name}=100001")
        expect(page.get_by_test_id("stAlertContentError").get_by_text("cells are planned")).to_be_visible()
        expect(step(page, 2).get_by_text("opens with a plan")).to_be_visible()


def test_a_submission_is_deleted_once_it_is_confirmed(server: Server, settings: Settings) -> None:
    with open_browser() as page:
        page.goto(f"{server.url}/submit")
        settle(page)
        type_into(page, "sub_name", "gone-soon")
        page.locator(".st-key-sub_save button").click()
        card = page.locator(".st-key-submission_gone-soon")
        expect(card).to_be_visible()
        card.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete for good").click()
        expect(card).to_have_count(0)
    assert not (settings.submissions / "gone-soon").exists()
