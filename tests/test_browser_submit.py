"""The page Submit in a real headless Chromium: a season of one's own, numbers set by hand, a file made elsewhere."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from browser import SECOND, Server, charts, heading, need_chromium, open_browser, settle
from custom_season import write_season
from mutations import DEPTH, GENES
from playwright.sync_api import Page, expect

from vccapp.data.h5ad import CsrWriter
from vccapp.data.splits.split import load_split
from vccapp.evaluation.quality import Depth
from vccapp.jobs.keeping.launch import environment
from vccapp.seasons.opened import find_season, open_season
from vccapp.settings import Settings
from vccapp.stats.index import load_index
from vccapp.submission.check import run_checks
from vccapp.submission.h5ad import open_cells
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.submission.plan import load_plan
from vccapp.submission.report import find_report

pytestmark = pytest.mark.browser
expect.set_options(timeout=30 * SECOND)  # of what a page says after a rerun, on a machine that does other things too


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


def type_into(page: Page, key: str, text: str) -> None:
    """Type into the box with this key, as Enter takes it."""
    box = page.locator(f".st-key-{key} input")
    expect(box).to_have_count(1)  # while a page is drawn again, what it had stands beside what is new
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
        settings.data_roots[0], listed=genes, targets=targets, contexts=["left", "right"], container="h5ad"
    )
    with open_browser() as page:
        page.goto(f"{server.url}/submit")
        expect(heading(page)).to_have_text("Submit")
        settle(page)
        page.get_by_text("Open a season's files").click()
        type_into(page, "sub_season_file", str(path))
        page.locator(".st-key-sub_season_open button").click()
        expect(page.locator(".st-key-sub_opening").get_by_text("succeeded")).to_be_visible(timeout=60 * SECOND)
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
        assert download.value.suggested_filename == "practice-whole-way.h5ad"
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


N_CELLS = {"G1": 20_000, "G2": 20_000, "G3": 20_000, "NT": 41_000}
"""101,000 in all, of which the season takes 100,000."""


def write_wrong_file(path: Path) -> None:
    """Genes shuffled, log2 values, controls labelled NT, targets named as guides, too many cells."""
    rng = np.random.default_rng(0)
    genes = rng.permutation(len(GENES))
    with CsrWriter(path, genes=[GENES[gene] for gene in genes], pert_col="target_gene") as writer:
        for number, (label, n) in enumerate(N_CELLS.items()):
            level = np.linspace(1, 8, len(GENES))
            if label in GENES:
                level[GENES.index(label)] *= 0.2
                level[10 + 5 * number : 15 + 5 * number] *= 1.6
            counts = rng.poisson(level, (n, len(GENES))).astype(np.float64)
            values = np.log2(1 + counts * DEPTH / counts.sum(axis=1, keepdims=True))
            block = sp.csr_matrix(values[:, genes].astype(np.float32))
            halves = np.array_split(np.arange(n), 2)
            for half, rows in enumerate(halves, start=1):
                writer.append(block[rows], label if label == "NT" else f"{label}-{half}")


def test_a_wrong_file_is_told_each_fault_and_mended_by_button(
    server: Server, settings: Settings, tmp_path: Path
) -> None:
    folder = settings.data_roots[0] / "wrong"
    table = "target_gene,n_cells,median_umi_per_cell\n"
    table += "".join(f"{label},{n},{DEPTH}\n" for label, n in N_CELLS.items() if label != "NT")
    folder.mkdir()
    (folder / "pert_counts.csv").write_text(table)
    asked = {"name": "small", "label": "A small contest", "targets": "pert_counts.csv", "contexts": None}
    rules = {"controls": "required", "spaces": ["log1p"], "cells_per_target": None, "max_cells": 100_000}
    path = write_season(folder, listed=tuple(GENES), **asked, **rules, container="vcc2025", metrics="2025")
    open_season(path, settings)
    wrong = folder / "wrong.h5ad"
    write_wrong_file(wrong)
    before = wrong.read_bytes()
    with open_browser() as page:
        query = f"sub_season=A+small+contest&sub_file={wrong}&sub_file_counts={folder / 'pert_counts.csv'}"
        page.goto(f"{server.url}/submit?{query}")
        settle(page)
        page.locator(".st-key-sub_check button").click()
        found = page.locator(".st-key-sub_elsewhere")
        expect(found.get_by_text("checks failed")).to_be_visible(timeout=120 * SECOND)
        for name in ("gene_list", "perturbations", "controls", "cell_cap", "library_size"):
            card = page.locator(f".st-key-sub_found_{name}")
            expect(card).to_contain_text("warning" if name == "library_size" else "failed")
            expect(card.get_by_role("button", name="Mend")).to_be_visible()
        page.locator(".st-key-sub_found_mend_all button").click()
        expect(found.get_by_text("No check failed")).to_be_visible(timeout=240 * SECOND)
        page.locator(".st-key-sub_pack button").click()
        with page.expect_download(timeout=120 * SECOND) as download:
            found.get_by_role("link", name="Download").click(timeout=120 * SECOND)
        package = tmp_path / "mended.vcc"
        download.value.save_as(package)
    assert wrong.read_bytes() == before
    season = find_season("small", settings)
    h5ad = unpack_vcc(package, tmp_path / "mended.h5ad", season)
    cells = open_cells(h5ad, "target_gene")
    assert cells.genes == GENES and cells.shape[0] <= 100_000
    assert set(map(str, cells.labels.categories)) == {"non-targeting", "G1", "G2", "G3"}
    wanted = {label: n for label, n in N_CELLS.items() if label != "NT"}
    results = run_checks(h5ad, season, wanted=wanted, depth=Depth(DEPTH, "pert_counts says"))
    assert [result.name for result in results if result.status == "failed"] == []
    assert "Traceback" not in server.log()
