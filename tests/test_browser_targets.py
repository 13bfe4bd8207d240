"""The page Targets in a real headless Chromium: from a pasted list of genes to the plot gene by gene.

`PICTURES=folder python -m pytest tests/test_browser_targets.py` keeps a picture of each view, light and dark.
"""

import os
from pathlib import Path

import pytest
from browser import SECOND, Server, charts, heading, need_chromium, open_browser, settle
from playwright.sync_api import expect
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.workspace import register
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROW, BOX = 35, 20
"""Pixels: height of a table's row, and where the box that chooses it stands."""
SILENCED = "GENE3"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    need_chromium()
    folder = tmp_path_factory.mktemp("targets")
    settings = Settings(home=folder / "home", checkpoints=folder / "runs", data_roots=(folder,))
    make_counts(n_cells=900, n_genes=120, n_perturbations=10).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings, title="toy") / "index")
    return settings


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_pasted_list_leads_to_the_plot_gene_by_gene(scheme: str, server: Server, settings: Settings) -> None:
    [folder] = settings.datasets.iterdir()
    index = load_index(folder / "index")
    values = zip(index.genes["gene"], index.delta(SILENCED), strict=True)
    pasted = "\n".join(f"{gene}\t{-delta:.4f}" for gene, delta in values)
    pictures = os.environ.get("PICTURES")
    with open_browser(dark=scheme == "dark") as page:

        def keep(name: str) -> None:
            for width in (1024, 1440) if pictures else ():
                page.set_viewport_size({"width": width, "height": 1500})
                settle(page)
                page.wait_for_timeout(SECOND)
                page.screenshot(path=Path(pictures) / f"targets_{name}_{width}_{scheme}.png")

        page.goto(f"{server.url}/targets")
        expect(heading(page)).to_have_text("Targets", timeout=60 * SECOND)
        settle(page)
        box = page.get_by_role("textbox", name="Genes and log2 fold changes")
        box.fill(pasted)
        box.press("Control+Enter")
        table = page.get_by_test_id("stDataFrame").first
        expect(table).to_be_visible()
        settle(page)
        keep("ranking")
        table.click(position={"x": BOX, "y": 1.5 * ROW})
        expect(page.get_by_role("tab", name="Gene by gene")).to_have_attribute("aria-selected", "true")
        expect(charts(page).nth(1)).to_be_visible()
        expect(page.locator("svg.marks text", has_text=f"{SILENCED}: gene by gene")).to_be_visible()
        keep("genes")
        page.get_by_role("tab", name="Validation").click()
        expect(charts(page).first).to_be_visible()
        keep("validation")
    assert "Traceback" not in server.log()
