"""The app as a stranger meets it, in a real headless Chromium: the whole path by mouse, deep links, bad files."""

import json
import os
import signal
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import SECOND, Server, charts, go, heading, need_chromium, open_browser, settle
from playwright.sync_api import expect

from vccapp.jobs.job import Job
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.ui.kit.frame import read_pages

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def chromium() -> None:
    need_chromium()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One workspace for the whole path."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "data").mkdir()
    return Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder / "data",))


@pytest.fixture(scope="module")
def server(settings: Settings, chromium: None) -> Iterator[Server]:
    server = Server(settings)
    server.start()
    yield server
    server.kill()


def latest(settings: Settings, task: str) -> Job | None:
    with JobStore(settings) as store:
        jobs = store.find(task=task, limit=1)
    return jobs[0] if jobs else None


def wait_for(settings: Settings, task: str, states: tuple[str, ...], *, seconds: float = 60) -> Job:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        job = latest(settings, task)
        if job is not None and job.state in states:
            return job
        time.sleep(0.002)
    pytest.fail(f"the job {task} is {job and job.state}, not {states}, after {seconds} s: {job and job.reason}")


def test_from_an_empty_workspace_to_a_package(server: Server, settings: Settings, tmp_path: Path) -> None:
    with open_browser() as page:
        page.goto(server.url)
        expect(heading(page)).to_have_text("Overview")
        expect(charts(page).nth(3)).to_be_visible(timeout=60 * SECOND)  # the demo made itself
        expect(page.get_by_text("SIMULATED").first).to_be_visible()
        for title, at_least in (("Genes", 4), ("Perturbations", 2), ("Similarity", 3)):
            go(page, title)
            expect(charts(page).nth(at_least - 1)).to_be_visible()

        go(page, "Train")
        page.get_by_role("button", name="Start training").click()
        worker = wait_for(settings, "train", ("running",))
        os.kill(worker.pid, signal.SIGSTOP)  # as a long training would, it does not end while we look
        try:
            assert latest(settings, "train").state == "running", "the worker ended before it could be paused"
            running = page.get_by_test_id("stMain").get_by_text(worker.params["run_id"])
            expect(running).to_be_visible()
            page.reload()
            expect(running).to_be_visible()
            expect(page.get_by_test_id("stMain").get_by_role("button", name="Stop").first).to_be_visible()
            server.kill()
            server.start()
            page.goto(f"{server.url}/train")
            expect(running).to_be_visible()
            expect(page.get_by_test_id("stMain").get_by_role("button", name="Stop").first).to_be_visible()
            assert latest(settings, "train").state == "running"
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        wait_for(settings, "train", ("succeeded",))
        expect(page.get_by_test_id("stMain").get_by_text("finished").first).to_be_visible()

        go(page, "Compare")
        expect(charts(page).first).to_be_visible()
        page.get_by_role("tab", name="Scores").click()
        expect(charts(page).nth(1)).to_be_visible()  # one score over the perturbations, and the best and the worst
        go(page, "Scores")
        expect(charts(page).first).to_be_visible()
        go(page, "Submit")
        page.get_by_role("button", name="Build the submission").click()
        wait_for(settings, "build", ("succeeded",), seconds=120)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").first.click()
        package = tmp_path / "package.vcc"
        download.value.save_as(package)
    with tarfile.open(package) as archive:
        assert archive.getnames() == ["pred.h5ad.zst", "watermark.txt"]
    assert "Traceback" not in server.log()


def test_every_page_can_be_the_first_request_after_a_start(server: Server) -> None:
    with open_browser() as page:
        for record in read_pages():
            server.kill()
            server.start()
            page.goto(f"{server.url}/{record.path.stem}")
            expect(heading(page)).to_have_text(record.title)
            assert page.get_by_text("Page not found").count() == 0
            settle(page)
            navigation = page.get_by_test_id("stSidebarNav")
            expect(navigation.get_by_role("link", name="Train", exact=True)).to_be_visible()
            assert navigation.get_by_role("link").count() == len(read_pages())
            assert page.get_by_test_id("stException").count() == 0
            assert page.get_by_test_id("stAlertContentError").count() == 0
            if record.path.stem == "train":  # what is typed first stays
                field = page.locator(".st-key-train_title input")
                field.fill("first")
                field.press("Enter")
                expect(page.locator("code", has_text="--title first").first).to_be_visible()
                expect(field).to_have_value("first")


BAD_FILES = {
    "empty.h5ad": b"",
    "pickle.h5ad": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07harmful\x94.",
    "text.h5ad": b"gene,count\nMYC,3\n",
}


def test_bad_files_give_one_sentence(server: Server, settings: Settings) -> None:
    folder = settings.data_roots[0]
    for name, content in BAD_FILES.items():
        (folder / name).write_bytes(content)
    paths = [*(folder / name for name in BAD_FILES), folder / "absent.h5ad", folder, Path("/etc/passwd")]
    with open_browser() as page:
        for path in paths:
            page.goto(f"{server.url}/data?data_path={path}")
            message = page.get_by_test_id("stAlertContentError")
            expect(message).to_have_count(1)
            text = message.inner_text()
            assert 20 < len(text) < 400, text
            assert "Traceback" not in page.inner_text("body")
            assert page.get_by_test_id("stException").count() == 0
            assert page.get_by_role("button", name="Compute the statistics").count() == 0
    assert latest(settings, "index") is None


def test_the_file_route_serves_ranges_and_nothing_else(server: Server, settings: Settings) -> None:
    import urllib.error
    import urllib.request

    folder = settings.submissions / "route"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "route.vcc").write_bytes(b"0123456789")
    (folder / "plan.json").write_text(json.dumps({}))
    base = f"{server.url}/files/submission"
    asked = urllib.request.Request(f"{base}/route/route.vcc", headers={"Range": "bytes=2-4"})
    with urllib.request.urlopen(asked) as answer:
        assert (answer.status, answer.read()) == (206, b"234")
        assert answer.headers["Content-Disposition"].startswith("attachment")
    for path in ("route/plan.json", "route/absent.vcc", "..%2f..%2froute/route.vcc", "route/..%2froute%2froute.vcc"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{base}/{path}")
        assert error.value.code in (400, 403, 404), path
