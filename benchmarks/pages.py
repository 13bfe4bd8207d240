"""How long the statistics pages take in a headless Chromium: first views and interactions, and the server's memory.

    python benchmarks/pages.py --home WORKSPACE [--checkpoints FOLDER] [--times 20] [--browsers 5]

The workspace needs an indexed dataset. A time runs from the last key or click until the page stands: the script has
ended and nothing on the page has changed for a while; the last change that can be seen counts. Each page was open once
before ("warm").
load_average, at the start, tells what else the machine did: compare times at like loads.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "pages.json"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from browser import Server, open_browser  # noqa: E402

from vccapp.models.base import MODELS  # noqa: E402
from vccapp.settings import Settings  # noqa: E402
from vccapp.stats.index import load_index  # noqa: E402
from vccapp.training import list_runs  # noqa: E402

LIMITS = {"first view": 2.0, "interaction": 0.7}
WATCH = """
() => {
  window.asked = window.changed = performance.now();
  const unseen = node => (node.nodeType === 1 ? node : node.parentElement)?.closest('canvas, [data-live-announcer]');
  const changed = changes => {  // texts for screen readers come and go long after the page stands
    if (changes.some(change => change.type === 'attributes' || !unseen(change.target)))
      window.changed = performance.now();
  };
  const asked = () => { window.asked = window.changed = performance.now(); };
  for (const kind of ['pointerdown', 'pointerup', 'keydown']) window.addEventListener(kind, asked, true);
  new MutationObserver(changed).observe(document.body, {subtree: true, childList: true, attributes: true});
}
"""
STANDS = """
() => {
  const app = document.querySelector('[data-testid=stApp]');
  const main = document.querySelector('[data-testid=stMain] h1');
  const waiting = document.querySelector('[data-testid=stMain] [data-testid=stSkeleton]');
  const still = performance.now() - window.changed > 450;
  return main && !waiting && app.dataset.testScriptState === 'notRunning' && still
    ? Math.max(window.changed - window.asked, 1) / 1000 : false;
}
"""


def time_action(page: Page, act: Callable[[], None]) -> float:
    """Seconds from the last key or click of `act` until the page stands."""
    act()
    return page.wait_for_function(STANDS, polling=50).json_value()


def press_slider(page: Page, key: str, keys: list[str]) -> Callable[[], None]:
    """Move a slider by one step: the next of `keys` at every call."""

    def act() -> None:
        page.locator(f".st-key-{key}").get_by_role("slider").first.press(keys[0])
        keys.append(keys.pop(0))

    return act


def choose(page: Page, key: str, options: list[str]) -> Callable[[], None]:
    """Choose the next of `options` in a selectbox by typing it."""

    def act() -> None:
        field = page.locator(f".st-key-{key} input").first
        field.click()
        field.fill(options[0])
        page.wait_for_timeout(150)
        field.press("Enter")
        options.append(options.pop(0))

    return act


def pick(page: Page, key: str, options: list[str]) -> Callable[[], None]:
    """Add the next of `options` to a multiselect by typing it; one that is chosen already is left out again."""

    def act() -> None:
        place = page.locator(f".st-key-{key}")
        page.keyboard.press("Escape")  # an open list of options hides all else from being found
        page.wait_for_timeout(150)
        chosen = place.get_by_role("button", name=options[0])
        if chosen.count():
            chosen.first.click()
        else:
            field = place.locator("input").first
            field.click()
            field.fill(options[0])
            page.wait_for_timeout(150)
            field.press("Enter")
        options.append(options.pop(0))

    return act


def toggle(page: Page, key: str) -> Callable[[], None]:
    return lambda: page.locator(f".st-key-{key} label").first.click()


def type_text(page: Page, key: str, texts: list[str]) -> Callable[[], None]:
    def act() -> None:
        field = page.locator(f".st-key-{key} input").first
        field.fill(texts[0])
        field.press("Enter")
        texts.append(texts.pop(0))

    return act


def switch(page: Page, key: str, names: list[str]) -> Callable[[], None]:
    """Press the next of the named buttons (or tabs) of a widget."""

    def act() -> None:
        place = page.locator(f".st-key-{key}")
        place.get_by_role("tab", name=names[0]).or_(place.get_by_role("radio", name=names[0])).or_(
            place.get_by_role("button", name=names[0], exact=True)
        ).first.click()
        names.append(names.pop(0))

    return act


def visit(page: Page, title: str) -> Callable[[], None]:
    return lambda: page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()


def plan_actions(
    page: Page, genes: list[str], perturbations: list[str], held_out: list[str]
) -> dict[str, dict[str, Callable[[], None]]]:
    """The interactions of each statistics page, by its title; one that begins with _ only prepares the next.

    held_out : perturbations of the part that Compare shows, none of them chosen at first
    """
    return {
        "Overview": {
            "group": switch(page, "over_by", ["Guide", "Batch", "Perturbation"]),
            "number": switch(page, "over_number", ["Genes", "UMIs"]),
        },
        "Genes": {
            "name a gene": type_text(page, "gene", genes),
            "groups": switch(page, "gene_by", ["Batches", "Perturbations"]),
            "drawing": switch(page, "gene_drawing", ["Cumulative", "Violins"]),
            "search": type_text(page, "gene_search", ["MYC", "RP", ""]),
        },
        "Perturbations": {
            "fold-change slider": press_slider(page, "pert_lfc", ["ArrowRight", "ArrowRight", "ArrowLeft"]),
            "FDR slider": press_slider(page, "pert_fdr", ["ArrowRight", "ArrowLeft"]),
            "view": switch(page, "pert_view", ["One perturbation", "All perturbations"]),
            "_open one": switch(page, "pert_view", ["One perturbation"]),
            "choose a perturbation": choose(page, "pert", perturbations),
            "slider on one": press_slider(page, "pert_lfc", ["ArrowRight", "ArrowLeft"]),
        },
        "Similarity": {
            "genes": switch(page, "sim_genes", ["All genes", "Highly variable"]),
            "choose a perturbation": choose(page, "sim_pert", [*perturbations]),
        },
        "Splits": {},
        "Compare": {
            "pseudobulks": switch(page, "cmp_quantity", ["Pseudobulks", "Deltas"]),
            "choose a perturbation": pick(page, "cmp_perturbations", held_out),
            "name genes": choose(page, "cmp_by", ["Named", "Clearest DEGs", "Largest delta"]),
            "_genes again": choose(page, "cmp_by", ["Largest delta"]),
            "view: genes": switch(page, "cmp_view", ["Genes", "Agreement"]),
            "view: heat map": switch(page, "cmp_view", ["Heat map", "Agreement"]),
            "_open the heat map": switch(page, "cmp_view", ["Heat map"]),
            "all perturbations": toggle(page, "cmp_wide"),
            "view: scores": switch(page, "cmp_view", ["Scores", "Agreement"]),
            "_open the scores": switch(page, "cmp_view", ["Scores"]),
            "choose a metric": choose(page, "cmp_metric", ["MAE", "PDS (L1)", "Spearman of deltas"]),
            "in detail": choose(page, "cmp_shown", ["baseline: perturbation mean", "baseline: control mean"]),
            "view: mistaken": switch(page, "cmp_view", ["Mistaken", "Scores"]),
            "view: DEGs": switch(page, "cmp_view", ["DEGs", "Scores"]),
            "view: two runs": switch(page, "cmp_view", ["Two runs", "Scores"]),
            "view: diagnostics": switch(page, "cmp_view", ["Diagnostics", "Scores"]),
        },
    }


def prepare_pages(page: Page, settings: Settings) -> dict[str, list[Callable[[], None]]]:
    """What is done once on a page before its first views are timed: three runs are chosen on Compare."""
    runs = [run for run in list_runs(settings) if run.state == "finished"]
    same = [run for run in runs if run.split.name == runs[0].split.name][1:3]
    return {"Compare": [pick(page, "cmp_runs", [f"{MODELS[run.spec.model].label} · {run.split.name}"]) for run in same]}


def measure_pages(page: Page, actions: dict, prepared: dict, times: int) -> list[dict]:
    rows = []
    for title, own in actions.items():
        elsewhere = visit(page, "Jobs")
        time_action(page, visit(page, title))
        for act in prepared.get(title, []):
            time_action(page, act)
            page.keyboard.press("Escape")
        views = []
        for _ in range(times):
            time_action(page, elsewhere)
            views.append(time_action(page, visit(page, title)))
        rows.append(row(title, "first view", views))
        for name, act in own.items():
            if name.startswith("_"):
                time_action(page, act)
            else:
                rows.append(row(title, name, [time_action(page, act) for _ in range(times)]))
    return rows


def row(title: str, action: str, seconds: list[float]) -> dict:
    ranked = sorted(seconds)
    found = {
        "page": title,
        "action": action,
        "n": len(seconds),
        "median": round(statistics.median(seconds), 3),
        "p95": round(ranked[math.ceil(0.95 * len(ranked)) - 1], 3),
    }
    limit = LIMITS.get(action, LIMITS["interaction"])
    print(
        f"{title:14}{action:24}{found['median']:8.2f}{found['p95']:8.2f} s   {'' if found['p95'] <= limit else 'SLOW'}",
        flush=True,
    )
    return found


def server_bytes(server: Server) -> int:
    """Memory of the server that is its own (USS): pages of mapped files belong to the system."""
    return psutil.Process(server.process.pid).memory_full_info().uss


def measure_browsers(server: Server, titles: list[str], browsers: int) -> dict:
    """Memory of the server with several visitors, each having opened every page."""
    with open_browser() as first:
        pages = [first] + [first.context.browser.new_context().new_page() for _ in range(browsers - 1)]
        for page in pages:
            page.goto(server.url)
            page.wait_for_selector("[data-testid=stMain] h1")
            page.evaluate(WATCH)
            for title in titles:
                time_action(page, visit(page, title))
        process = psutil.Process(server.process.pid)
        return {"browsers": browsers, "rss_bytes": process.memory_info().rss, "uss_bytes": server_bytes(server)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="workspace with an indexed dataset")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--browsers", type=int, default=5)
    parser.add_argument("--page", action="append", help="only these pages")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    settings = Settings(home=options.home, checkpoints=options.checkpoints, data_roots=(options.home,))
    [folder, *_] = sorted(settings.datasets.glob("*/index"))
    index = load_index(folder)
    strongest = index.perturbations.iloc[1:].nlargest(4, "effect")["perturbation"].tolist()
    newest = next(run for run in list_runs(settings) if run.state == "finished")
    held_out = index.perturbations.set_index("perturbation").loc[list(newest.split.test), "effect"].nlargest(8)
    held_out = held_out.index.tolist()[4:]
    genes = index.genes.nlargest(40, "mean")["gene"].tolist()[1::10]
    server = Server(settings)
    server.start()
    try:
        with open_browser() as page:
            page.goto(server.url)
            page.wait_for_selector("[data-testid=stMain] h1", timeout=60_000)
            page.evaluate(WATCH)
            time.sleep(3)
            actions = plan_actions(page, genes, strongest, held_out)
            wanted = {title: own for title, own in actions.items() if not options.page or title in options.page}
            rows = measure_pages(page, wanted, prepare_pages(page, settings), options.times)
        memory = measure_browsers(server, list(wanted), options.browsers)
    finally:
        server.kill()
    print(f"{memory['browsers']} browsers: server RSS {memory['rss_bytes'] / 1e9:.2f} GB", flush=True)
    size = f"{index.meta['n_cells']} x {index.meta['n_genes']}, {len(index.labels) - 1} perturbations"
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(
        json.dumps(found | {size: {"load_average": load, "pages": rows, "memory": memory}}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
