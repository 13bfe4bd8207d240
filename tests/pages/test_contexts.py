"""Pages and commands on data of two cell lines: a choice of the line everywhere, and red where it is ignored."""

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
from vccapp.data.splits.split import hold_out_contexts, write_split
from vccapp.data.workspace import list_datasets, register
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.training import RunSpec, make_run_id, train
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
    spec = RunSpec(model="perturbation_mean", dataset=dataset.fingerprint, split="lines")
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
    if name not in ("data", "glossary", "jobs"):
        assert page.sidebar.selectbox(key="context").value == (context or "All contexts")
    for words in commands_of(page):
        parse_command(words)
    if name == "compare" and context == "B":
        assert any("--context" in words for words in commands_of(page))


def test_an_ignored_context_is_red_on_pages_and_in_exports(
    here: Settings, ask: Callable[..., Any], tmp_path: Path
) -> None:
    data = fingerprint(here, ignored=True)
    page = open_alone("overview", data=data)
    assert any("cell_line" in error.value for error in page.sidebar.error)
    for path in ask("data", "export", data, tmp_path)["paths"]:
        assert set(pd.read_csv(path)["context_ignored"]) <= {"cell_line"}
    for path in ask("data", "export", fingerprint(here, ignored=False), tmp_path)["paths"]:
        assert "context_ignored" not in pd.read_csv(path)


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
