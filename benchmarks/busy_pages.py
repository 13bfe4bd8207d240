"""How long the pages Runs and Jobs take with many runs, trainings at work and several visitors, in headless Chromium.

    python benchmarks/busy_pages.py [--runs 500] [--working 4] [--browsers 5] [--times 20]

Makes a small workspace with so many finished runs, copies of one, each with its job, and starts trainings that log and
report four times a second and compute nothing (`kit/quiet_worker.py`). Each visitor has a window of its own, which
keeps itself up to date; they act in turn. `kit/clicks.py` says what a time is.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from browser import Server, open_browser  # noqa: E402
from desk import make_desk  # noqa: E402
from kit.clicks import WATCH, choose, press_slider, row, switch, time_action, toggle, type_text, visit  # noqa: E402
from kit.measure import describe_machine, write_results  # noqa: E402
from kit.quiet_worker import QuietTrain  # noqa: E402

from vccapp.jobs.job import CLAIMED  # noqa: E402
from vccapp.jobs.local import start_job, stop_all  # noqa: E402
from vccapp.jobs.store import JobStore  # noqa: E402
from vccapp.settings import Settings  # noqa: E402
from vccapp.tasks.train import Train  # noqa: E402
from vccapp.training import load_run, train  # noqa: E402
from vccapp.training.record import RunRecord, write_run  # noqa: E402

WORKER = (sys.executable, str(ROOT / "benchmarks" / "kit" / "quiet_worker.py"))
SMALL = {"width": 16, "inner": 8, "code": 4, "batch_size": 32, "embedding": "expression", "epochs": 30}
LIMIT = 0.7


def make_workspace(folder: Path, *, runs: int, working: int) -> Settings:
    """So many finished runs with their jobs."""
    made = make_desk(folder)
    settings = made.model_copy(update={"max_jobs": working, "threads": 1})
    spec = load_run("one", settings).spec.model_copy(update={"model": "scouter", "params": SMALL})
    train(spec, settings, run_id="net")
    like = load_run("net", settings)
    with JobStore(settings) as store:
        for number in range(runs - 3):
            copy_run(like, number, settings, store)
    return settings


def copy_run(like: RunRecord, number: int, settings: Settings, store: JobStore) -> None:
    """A run as if it had been trained with another seed, and the job that did it."""
    name = f"copy-{number:03}"
    folder = settings.checkpoints / name
    shutil.copytree(like.folder, folder)
    spec = like.spec.model_copy(update={"seed": number, "title": f"seed {number}"})
    created = datetime.now(UTC) - timedelta(minutes=5 * number)
    write_run(like.model_copy(update={"id": name, "spec": spec, "created": created, "number": 4 + number}), folder)
    job = store.create(Train.of(spec).model_copy(update={"run_id": name}))
    now = created.timestamp()
    for state, fields in (("starting", {}), ("running", {"started": now}), ("succeeded", {"ended": now + 60})):
        store.move(job.id, state, **fields)


def start_work(settings: Settings, working: int) -> None:
    """Start trainings, and wait until all run."""
    spec = load_run("net", settings).spec
    for seed in range(working):
        start_job(settings, QuietTrain.of(spec.model_copy(update={"seed": 10_000 + seed})), command=WORKER)
    with JobStore(settings) as store:
        while len(store.find(state="running")) < working:
            if len(store.find(state=("queued", *CLAIMED))) < working:
                sys.exit("a training ended")
            time.sleep(0.2)


def plan_actions(page: Page) -> dict[str, dict[str, Callable[[], None]]]:
    """The interactions of each page, by its title; one that begins with _ only prepares the next."""
    table = page.locator("[class*=st-key-runs_table_]").get_by_test_id("stDataFrame").first
    rows = [6, 7, 8, 9]

    def choose_row() -> None:
        """Choose another one; a click on one that is chosen takes it away."""
        table.click(position={"x": 20, "y": 35 * (rows[0] + 0.5)})
        rows.append(rows.pop(0))

    return {
        "Runs": {
            "search": type_text(page, "runs_search", ["seed=1", "scouter", ""]),
            "validation score": choose(page, "runs_metric", ["MAE", "PDS (L1)", "Pearson of deltas"]),
            "all datasets": toggle(page, "runs_all"),
            "choose a run": choose_row,
            "_one run": lambda: page.goto(page.url.partition("?")[0] + "?run=copy-007"),
            "view": switch(page, "runs_view", ["Curves", "Scores", "System", "Log", "What changed"]),
            "_curves": switch(page, "runs_view", ["Curves"]),
            "smoothing": press_slider(page, "runs_curve_smooth", ["ArrowRight", "ArrowRight", "ArrowLeft"]),
        },
        "Jobs": {"log": lambda: page.locator("[class*=st-key-jobs_log_] summary").first.click()},
    }


def measure(pages: list[Page], *, times: int) -> list[dict]:
    """Every action, in every window in turn, until each was timed so many times."""
    plans = [plan_actions(page) for page in pages]
    rows = []
    for title in plans[0]:
        views = []
        for n in range(times + len(pages)):
            page = pages[n % len(pages)]
            time_action(page, visit(page, "Glossary"))
            views.append(time_action(page, visit(page, title)))
        rows.append(row(title, "first view", views[len(pages) :]))  # each page was open once before
        for name in plans[0][title]:
            seconds = []
            for n in range(len(pages) if name.startswith("_") else times):
                page, act = pages[n % len(pages)], plans[n % len(pages)][title][name]
                if name.startswith("_"):
                    act()
                    page.wait_for_selector("[data-testid=stMain] h1")
                    page.evaluate(WATCH)
                    page.wait_for_timeout(2000)
                else:
                    seconds.append(time_action(page, act))
            if seconds:
                rows.append(row(title, name, seconds))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--working", type=int, default=4)
    parser.add_argument("--browsers", type=int, default=5)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        settings = make_workspace(Path(scratch) / "desk", runs=options.runs, working=options.working)
        server = Server(settings)
        try:
            start_work(settings, options.working)
            server.start()
            with open_browser() as first:
                browser = first.context.browser
                pages = [first, *(browser.new_context().new_page() for _ in range(options.browsers - 1))]
                for page in pages:
                    page.set_default_timeout(60_000)
                    page.goto(server.url)
                    page.wait_for_selector("[data-testid=stMain] h1")
                    page.evaluate(WATCH)
                rows = measure(pages, times=options.times)
        finally:
            server.kill()
            stop_all(settings)
            wait_until_idle(settings)
    told = {name: getattr(options, name) for name in ("runs", "working", "browsers", "times")}
    machine = describe_machine()
    slow = [f"{one['page']}: {one['action']}" for one in rows if one["action"] != "first view" and one["p95"] > LIMIT]
    print(f"above {LIMIT} s: {', '.join(slow) or 'none'}")
    write_results("busy_pages", {"machine": machine, **told, "pages": rows})


def wait_until_idle(settings: Settings) -> None:
    """So that no worker writes into a folder that is being removed."""
    give_up = time.monotonic() + 60
    with JobStore(settings) as store:
        while store.find(state=("queued", *CLAIMED)) and time.monotonic() < give_up:
            time.sleep(0.2)


if __name__ == "__main__":
    main()
