"""Pages and commands on data of two cell lines: a choice of the line everywhere, and red where it is ignored."""

import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from page_kit import ask as ask_command
from page_kit import assert_well, commands_of, open_alone, parse_command, use
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import IGNORED, Columns, context_of
from vccapp.data.splits.split import hold_out_contexts, split_from_lists, write_split
from vccapp.data.workspace import list_datasets, register
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.training import RunSpec, list_runs, make_run_id, train
from vccapp.ui.kit.frame import PAGES

NAMES = sorted(path.stem for path in PAGES.glob("*.py"))


def lines() -> ad.AnnData:
    first, second = (make_counts(240, n_perturbations=6, seed=seed) for seed in (0, 1))
    x = second.X.toarray()
    x[:, 30:] *= 8
    second.X = csr_matrix(x)
    return ad.concat({"A": first, "B": second}, label="cell_line", index_unique="-")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The lines within their contexts, with a run; and again with the context ignored."""
    folder = tmp_path_factory.mktemp("workspace")
    settings = Settings(home=folder / "home", checkpoints=folder / "checkpoints", data_roots=(folder,), device="cpu")
    lines().write_h5ad(folder / "lines.h5ad")
    for columns in (Columns(context=IGNORED), Columns()):
        dataset = open_dataset(folder / "lines.h5ad", columns=columns)
        build_index(dataset, register(dataset, settings) / "index")
    labels = load_index(settings.index_of(dataset.fingerprint)).perturbed
    write_split(hold_out_contexts(labels, name="lines", dataset=dataset.fingerprint, test=["B"]), settings)
    pooled = fingerprint(settings, ignored=True)
    labels = load_index(settings.index_of(pooled)).perturbed
    write_split(split_from_lists(name="pooled", dataset=pooled, train=labels[2:], val=[], test=labels[:2]), settings)
    for name, data in (("pooled", pooled), ("lines", dataset.fingerprint)):  # the last is the newest
        spec = RunSpec(model="perturbation_mean", dataset=data, split=name)
        train(spec, settings, run_id=make_run_id(spec, now=datetime.now(UTC)))
    return settings


@pytest.fixture
def here(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return use(workspace, monkeypatch)


def fingerprint(settings: Settings, *, ignored: bool) -> str:
    [found] = [r.fingerprint for r in list_datasets(settings) if (r.schema.context_ignored is not None) == ignored]
    return found


@pytest.fixture
def ask(here: Settings, capsys: pytest.CaptureFixture) -> Callable[..., Any]:
    """What a command that must end well prints with --json."""
    return lambda *words: ask_command(["vccapp", *map(str, words)], capsys)


@pytest.mark.parametrize("context", ["A", "B", None])
@pytest.mark.parametrize("name", NAMES)
def test_every_page_in_every_context(name: str, context: str | None, here: Settings) -> None:
    params = {"data": fingerprint(here, ignored=False)} | ({"context": context} if context else {})
    page = open_alone(name, **params)
    assert_well(page)
    if name not in ("data", "glossary", "jobs", "settings"):
        assert page.sidebar.selectbox(key="context").value == (context or "All contexts")
    for words in commands_of(page):
        parse_command(words)
    if name == "compare" and context == "B":
        assert any("--context" in words for words in commands_of(page))


VIEWS = (
    "agreement",
    "confusion",
    "diagnose",
    "difference",
    "gallery",
    "genes",
    "heatmap",
    "leaderboard",
    "overlap",
    "scores",
)


def run_on(settings: Settings, *, ignored: bool) -> str:
    [found] = [run.id for run in list_runs(settings) if run.spec.dataset == fingerprint(settings, ignored=ignored)]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_an_ignored_context_is_red_on_every_page(name: str, here: Settings) -> None:
    page = open_alone(name, data=fingerprint(here, ignored=True))
    assert any("cell_line" in error.value for error in page.sidebar.error)


def test_an_ignored_context_is_red_in_the_report_of_a_file(here: Settings) -> None:
    path = next(iter(here.data_roots)) / "lines.h5ad"
    page = open_alone("data", data=fingerprint(here, ignored=False), data_path=str(path), data_context=IGNORED)
    assert any("cell_line" in error.value for error in page.main.error)
    page = open_alone("data", data=fingerprint(here, ignored=False), data_path=str(path))
    assert not page.main.error


def test_an_ignored_context_is_red_in_charts(here: Settings) -> None:
    for ignored in (True, False):
        charts = open_alone("overview", data=fingerprint(here, ignored=ignored)).get("vega_lite_chart")
        specs = [json.loads(chart.proto.spec) for chart in charts]
        assert specs and all(("cell_line" in json.dumps(spec["title"])) == ignored for spec in specs)


@pytest.mark.parametrize("ignored", [True, False])
def test_an_ignored_context_stands_in_every_export(
    ignored: bool, here: Settings, ask: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = fingerprint(here, ignored=ignored)
    for path in ask("data", "export", data, tmp_path)["paths"]:
        assert_marked(pd.read_csv(path), ignored=ignored)
    ask("data", "preprocess", data, tmp_path / "cells.h5ad")
    assert ("context_ignored" in ad.read_h5ad(tmp_path / "cells.h5ad").uns) == ignored
    split = "pooled" if ignored else "lines"
    ask("split", "export", split, tmp_path / "split.toml")
    text = (tmp_path / "split.toml").read_text()
    assert ("cell_line" in text) == ignored and tomllib.loads(text)["training"]
    main_ends_well("data", "describe", here.data_roots[0] / "lines.h5ad", *(["--context-column", IGNORED] * ignored))
    assert ("cell_line) is ignored" in capsys.readouterr().err) == ignored


@pytest.mark.parametrize("ignored", [True, False])
@pytest.mark.parametrize("view", VIEWS)
def test_an_ignored_context_stands_in_every_view(
    view: str, ignored: bool, here: Settings, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    which = ["--dataset", fingerprint(here, ignored=ignored)] if view == "leaderboard" else ["--run"]
    which += [] if view == "leaderboard" else [run_on(here, ignored=ignored)]
    which += ["--pseudobulks"] if view == "diagnose" else []
    capsys.readouterr()
    main_ends_well("eval", view, *which, "--csv", tmp_path / "out.csv", "--json")
    printed = capsys.readouterr()
    assert_marked(pd.read_csv(tmp_path / "out.csv"), ignored=ignored)
    assert json.loads(printed.out).get("context_ignored") == ("cell_line" if ignored else None)
    assert printed.err.count("cell_line) is ignored") == ignored


def test_a_leaderboard_of_all_data_marks_those_of_which_the_context_is_ignored(
    here: Settings, ask: Callable[..., Any], tmp_path: Path
) -> None:
    ask("eval", "leaderboard", "--rows", "runs", "--csv", tmp_path / "out.csv")
    rows = pd.read_csv(tmp_path / "out.csv").set_index("run")["context_ignored"]
    assert rows[run_on(here, ignored=True)] == "cell_line" and pd.isna(rows[run_on(here, ignored=False)])


def test_files_are_scored_within_contexts_or_told_to_ignore_them(
    here: Settings, ask: Callable[..., Any], tmp_path: Path
) -> None:
    path = here.data_roots[0] / "lines.h5ad"
    for column, label, ignored in ((IGNORED, "{}", True), ("cell_line", "{}@A", False)):
        words = ("eval", "metrics", path, path, "--context-column", column, "--output", tmp_path / "out.csv")
        assert ask(*words).get("context_ignored") == ("cell_line" if ignored else None)
        table = pd.read_csv(tmp_path / "out.csv")
        assert_marked(table, ignored=ignored)
        target = lines().obs["target_gene"].unique()[-1]
        assert label.format(target) in set(table["perturbation"])


@pytest.mark.parametrize("ignored", [True, False])
def test_an_ignored_context_is_red_in_the_report(
    ignored: bool, here: Settings, ask: Callable[..., Any], tmp_path: Path
) -> None:
    ask("eval", "report", run_on(here, ignored=ignored), "--out", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert ('<p class="alert">The context (cell_line)' in text) == ignored
    assert (
        "The context (cell_line) is ignored</tspan>" in text or "The context (cell_line) is ignored</text>" in text
    ) == ignored


def main_ends_well(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(map(str, words)))
    assert end.value.code in (0, None)


def assert_marked(frame: pd.DataFrame, *, ignored: bool) -> None:
    assert ("context_ignored" in frame) == ignored
    assert not ignored or frame["context_ignored"].eq("cell_line").all()


def test_commands_within_a_context(here: Settings, ask: Callable[..., Any], tmp_path: Path) -> None:
    data = fingerprint(here, ignored=False)
    ask("data", "export", data, tmp_path, "--context", "A")
    degs = pd.read_csv(tmp_path / "deg_counts.csv")
    assert set(map(context_of, degs["Group"])) == {"A"}
    made = ask("split", "make", data, "--name", "only-a", "--context", "A")[0]
    assert {context_of(x) for part in ("train", "val", "test") for x in made[part]} == {"A"}
    plan = ask("submit", "plan", "--practice", "--context", "B", "--name", "b")
    assert plan["sources"][""]["context"] == "B" and not any("@" in label for label in plan["cells"])
    report = ask("submit", "build", "b")
    cells = ad.read_h5ad(Path(report["folder"]) / "pred.h5ad")
    real = lines()
    controls = real.obs["target_gene"] == "non-targeting"
    depth = np.asarray(real[controls & (real.obs["cell_line"] == "B")].X.sum(axis=1)).mean()
    own = np.expm1(cells[cells.obs["target_gene"] == "non-targeting"].X.toarray()).sum(axis=1).mean()
    assert own == pytest.approx(depth, rel=0.25)  # of line B, which is some times as deep as A


def test_a_prediction_of_one_line_is_imported(here: Settings, ask: Callable[..., Any], tmp_path: Path) -> None:
    data, real = fingerprint(here, ignored=False), lines()
    predicted = real[real.obs["cell_line"] == "B"].copy()
    del predicted.obs["cell_line"]
    predicted.write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(SystemExit):
        main(["eval", "import", str(tmp_path / "b.h5ad"), "--dataset", data])
    run = ask("eval", "import", tmp_path / "b.h5ad", "--dataset", data, "--context", "B", "--split", "lines")["run"]
    assert run["metrics"]["test"]["imported"]["mae"] == pytest.approx(0, abs=1e-6)
