"""How long the statistics pages take in a headless Chromium: first views and interactions, and the server's memory.

    python benchmarks/pages.py --home WORKSPACE [--checkpoints FOLDER] [--times 20] [--browsers 5]

The workspace needs an indexed dataset. `kit/clicks.py` says what a time is. Each page was open once before ("warm").
load_average, at the start, tells what else the machine did: compare times at like loads.
"""

import argparse
import json
import os
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
from kit.clicks import WATCH, choose, pick, press_slider, row, switch, time_action, toggle, type_text, visit  # noqa: E402

from vccapp.models.base import MODELS  # noqa: E402
from vccapp.settings import Settings  # noqa: E402
from vccapp.stats.index import load_index  # noqa: E402
from vccapp.training import list_runs  # noqa: E402


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
