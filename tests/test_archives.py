"""What released versions wrote is read by this one: every kind of file, by the package, the commands and the pages."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from archived import ARCHIVES, unpack
from page_kit import ask as ask_command
from page_kit import assert_well, open_alone, use

from vccapp.data.workspace import list_datasets, open_registered
from vccapp.models.base import load_model
from vccapp.neural.fitting.checkpoint import find_checkpoint
from vccapp.settings import Settings
from vccapp.stats.cells.embedding import list_cell_embeddings, open_cell_embedding
from vccapp.stats.index import load_index
from vccapp.training import RunRecord, list_runs
from vccapp.training.metrics_log import read_metrics
from vccapp.training.results.scores import list_scores, load_score
from vccapp.ui.kit.frame import PAGES

VERSIONS = sorted(path.name for path in ARCHIVES.iterdir() if path.is_dir())
PAGE_NAMES = sorted(path.stem for path in PAGES.glob("*.py"))
UNFINISHED = ("stopped", "interrupted")


@pytest.fixture(scope="module", params=VERSIONS)
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("archive")
    home, checkpoints = unpack(request.param, folder)
    settings = Settings(home=home, checkpoints=checkpoints, data_roots=(folder,), device="cpu")
    for record in list_datasets(settings):  # whose files are copies: pages warn until their content was asked
        open_registered(record.fingerprint, settings)
    return settings


@pytest.fixture
def here(archive: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return use(archive, monkeypatch)


@pytest.fixture
def ask(here: Settings, capsys: pytest.CaptureFixture) -> Callable[..., Any]:
    """What a command that must end well prints with --json."""
    return lambda *words: ask_command(["vccapp", *map(str, words)], capsys)


def finished(settings: Settings) -> Iterator[RunRecord]:
    return (run for run in list_runs(settings) if run.state == "finished")


def titled(settings: Settings, title: str) -> RunRecord:
    [run] = [run for run in list_runs(settings) if run.spec.title == title]
    return run


@pytest.mark.slow
def test_every_entry_is_listed(here: Settings, ask: Callable[..., Any]) -> None:
    for name, words, pattern in (
        ("datasets", ("data", "list"), "home/datasets/*/dataset.json"),
        ("splits", ("split", "list"), "home/splits/*.json"),
        ("runs", ("train", "list"), "checkpoints/*/run.json"),
        ("results", ("eval", "entered", "list"), "home/entered/*.json"),
        ("submissions", ("submit", "list"), "home/submissions/*/plan.json"),
    ):
        found, there = ask(*words), list(here.home.parent.glob(pattern))
        assert there and len(found[name]) == len(there) and found["unreadable"] == [], name
    scores = list_scores(here)
    assert len(scores) == len(list(here.checkpoints.glob("*/scores/*.json"))) and not scores.unreadable
    assert ask("eval", "leaderboard")["unreadable"] == []
    assert all(job["id"] == ask("jobs", "show", job["id"])["id"] for job in ask("jobs", "list"))


@pytest.mark.slow
def test_each_is_shown(here: Settings, ask: Callable[..., Any]) -> None:
    for split in ask("split", "list")["splits"]:
        assert ask("split", "show", split["name"]) == split
    for run in ask("train", "list")["runs"]:
        shown = ask("train", "status", run["id"])["run"]
        assert shown == {name: run[name] for name in shown}
    for score in list_scores(here):
        run = next(run for run in finished(here) if run.id == score.run)
        table = load_score(run, score.scorer, score.part)[1]
        assert len(table) == score.n_perturbations


@pytest.mark.slow
def test_models_predict_what_they_predicted(archive: Settings, tmp_path: Path) -> None:
    kinds = set()
    for run in finished(archive):
        (val, seen), (test, asked) = run.prediction("val"), run.prediction("test")
        model = load_model(run.folder / "model")
        before = np.concatenate([seen, asked])
        again = model.predict([*val, *test])  # by another processor, which may add in another order
        np.testing.assert_allclose(again, before, rtol=1e-5, atol=1e-6, err_msg=run.spec.title)
        model.save(tmp_path / run.id)
        np.testing.assert_array_equal(load_model(tmp_path / run.id).predict([*val, *test]), again)
        kinds.add(model.name)
    assert {"ridge", "ensemble", "transfer", "scouter", "state", "state_checkpoint", "imported"} <= kinds


def test_an_index_is_read(archive: Settings) -> None:
    for folder in archive.datasets.glob("*/index"):
        index = load_index(folder)
        assert len(index.labels) == len(index.means(index.labels)) == len(index.perturbations)
        assert index.gene_values(index.genes["gene"][0]).shape == (len(index.cells),)
        for about in list_cell_embeddings(index):
            assert open_cell_embedding(index, about["name"]).shape == (len(index.cells), about["width"])


@pytest.mark.slow
def test_scores_are_computed_again(here: Settings, ask: Callable[..., Any]) -> None:
    run = titled(here, "ridge")
    before = load_score(run, "vccapp", "test")[0]
    ask("eval", "official", "--run", run.id, "--scorer", "vccapp")
    after = load_score(run, "vccapp", "test")[0]
    assert after.created > before.created and after.means == before.means
    compared = ask("eval", "compare", "--run", run.id)
    assert compared["summary"] == pytest.approx(run.metrics["test"]["ridge"])


@pytest.mark.slow
def test_a_planned_submission_is_built_again(here: Settings, ask: Callable[..., Any]) -> None:
    [listed] = ask("submit", "list")["submissions"]
    file = here.submissions / listed["id"] / "pred.h5ad"
    before = ad.read_h5ad(file)
    report = ask("submit", "build", listed["id"])
    after = ad.read_h5ad(file)
    assert report["built"] > listed["built"]
    np.testing.assert_array_equal(after.X.toarray(), before.X.toarray())
    assert after.obs.equals(before.obs) and list(after.var_names) == list(before.var_names)


@pytest.mark.slow
@pytest.mark.parametrize("title", UNFINISHED)
def test_a_training_goes_on(title: str, here: Settings, ask: Callable[..., Any]) -> None:
    run = titled(here, title)
    assert run.state == title
    begun = int(find_checkpoint(run.folder / "checkpoint").name.removeprefix("step-"))
    asked = json.loads((run.folder / "run.json").read_text())
    asked["spec"]["params"]["steps"] = begun + 20  # of thousands, which take minutes
    (run.folder / "run.json").write_text(json.dumps(asked))
    assert ask("train", "resume", run.id)["state"] == "finished"
    steps = read_metrics(run.folder)["step"]
    assert steps.min() <= begun < steps.max() == begun + 20


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGE_NAMES)
def test_pages_show_it(name: str, here: Settings) -> None:
    page = open_alone(name)
    assert_well(page)
    assert not page.warning, [warning.value for warning in page.warning]
