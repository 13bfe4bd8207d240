"""The official program of STATE in a real headless Chromium: started, watched, stopped, resumed, packaged.

The program is a stand-in, which waits at a step until it is stopped.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import SECOND, Server, charts, go, heading, need_chromium, open_browser, settle
from fake_state import write_environment
from playwright.sync_api import expect
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.models.base import MODELS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.training.metrics_log import read_metrics
from vccapp.training.record import list_runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]
STEPS, STOPPED_AT = 20, 6
CHOSEN = {"steps": STEPS, "genes": 100, "cells": 300, "validate_every": 3, "embedding": "expression"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    need_chromium()
    folder = tmp_path / "data"
    folder.mkdir()
    program = str(write_environment(tmp_path / "program"))
    settings = Settings(
        home=tmp_path / "home", checkpoints=tmp_path / "runs", data_roots=(folder,), device="cpu", state=program
    )
    make_counts(n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    labels = [f"GENE{i}" for i in range(8)]
    parts = {"train": labels[:4], "val": labels[4:6], "test": labels[6:]}
    write_split(split_from_lists(name="s", dataset=dataset.fingerprint, **parts), settings)
    return settings


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    server = Server(settings, env=os.environ | {"FAKE_STATE_WAITS": str(STOPPED_AT)})
    server.start()
    yield server
    server.kill()


def test_a_run_from_its_start_to_a_package(server: Server, settings: Settings, tmp_path: Path) -> None:
    form = "&".join(f"train_state_official_{name}={value}" for name, value in CHOSEN.items())
    with open_browser() as page:
        main = page.get_by_test_id("stMain")
        page.goto(f"{server.url}/train?train_model={MODELS['state_official'].label}&train_split=s&{form}")
        expect(heading(page)).to_have_text("Train", timeout=60 * SECOND)
        settle(page)
        page.get_by_role("button", name="Start training").click()
        expect(main.get_by_text(f"step {STOPPED_AT} of {STEPS}")).to_be_visible(timeout=60 * SECOND)
        expect(charts(page).nth(1)).to_be_visible()  # both losses
        main.get_by_role("button", name="Stop", exact=True).click()
        expect(main.get_by_text("stopped").first).to_be_visible(timeout=60 * SECOND)
        [run] = list_runs(settings)
        assert run.state == "stopped"
        page.get_by_role("link", name="Open on Runs").click()
        page.get_by_role("button", name="Resume").click()
        expect(main.locator(".st-key-runs_one").get_by_text("finished")).to_be_visible(timeout=60 * SECOND)
        [run] = list_runs(settings)
        assert run.state == "finished"
        log = read_metrics(run.folder)
        assert log[log["name"] == "loss"]["step"].tolist() == list(range(1, STEPS + 1))
        assert f"going on at {STOPPED_AT}" in (run.folder / "model/official/log.txt").read_text()
        go(page, "Submit")
        page.get_by_role("button", name="Build the submission").click()
        with page.expect_download(timeout=60 * SECOND) as download:
            page.get_by_role("link", name="Download").first.click(timeout=60 * SECOND)
        download.value.save_as(tmp_path / "package.vcc")
    with tarfile.open(tmp_path / "package.vcc") as archive:
        assert archive.getnames() == ["pred.h5ad.zst", "watermark.txt"]
    assert "Traceback" not in server.log()
