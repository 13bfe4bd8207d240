"""The plug-ins of docs/extending.md: installed by pip, and each of them chosen on the pages and by commands."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT
from scipy.sparse import csr_matrix

from vccapp.data.h5ad import CsrWriter
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.simulation.demo import write_demo
from vccapp.data.splits.split import make_split, write_split
from vccapp.jobs.keeping.launch import environment
from vccapp.jobs.store import JobStore
from vccapp.plugins import KINDS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.training import list_runs

PLUGIN = ROOT / "tests" / "plugin"
TINY = {"genes": 50, "set_size": 8, "sets": 2, "steps": 4, "patience": 0, "baseline": ""}
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo, indexed, and a split."""
    folder = tmp_path_factory.mktemp("extending")
    settings = Settings(
        home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,), device="cpu"
    )
    dataset = open_dataset(write_demo(settings))
    index = settings.datasets / dataset.fingerprint / "index"
    build_index(dataset, index)
    write_split(make_split(load_index(index).labels[1:], name="s", dataset=dataset.fingerprint), settings)
    return settings


@pytest.fixture(scope="module")
def index(settings: Settings) -> Any:
    [folder] = settings.datasets.iterdir()
    return load_index(folder / "index")


@pytest.fixture(scope="module")
def vectors(settings: Settings, index: Any) -> Path:
    """Gene vectors in a format that only the plug-in reads."""
    path, random = settings.home / "genes.vec", np.random.default_rng(0)
    genes = index.genes["gene"].tolist()
    rows = [" ".join([gene, *map(str, random.normal(size=8).round(3))]) for gene in genes]
    path.write_text("\n".join([f"{len(genes)} 8", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def run(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Python with the plug-in installed: `run("-m", "vccapp", ..., code=0)` -> what it printed, as JSON."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PLUGIN, folder / "source")  # pip leaves a build folder in it
    pip = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([sys.executable, "-m", *pip, "--target", folder / "site", folder / "source"], check=True)
    paths = [ROOT, folder / "site", ROOT / "tests" / "support"]
    env = os.environ | environment(settings) | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        env[name] = "1"

    def run(*words: object, code: int = 0, trackers: str = "") -> Any:
        own = env | {"VCCAPP_TRACKERS": trackers}
        done = subprocess.run([sys.executable, *map(str, words)], env=own, capture_output=True, text=True, cwd=folder)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    return run


def command(run: Run, *words: object, code: int = 0, trackers: str = "") -> Any:
    return run("-m", "vccapp", *words, "--json", code=code, trackers=trackers)


@pytest.fixture(scope="module")
def trained(run: Run, vectors: Path) -> dict[str, Any]:
    """A run of the plug-in's model on vectors that its reader reads."""
    choices = [f"--set=embedding={vectors}", "--set=share=0.7"]
    return command(run, "train", "start", "nearest", "--split", "s", *choices)


def read_losses(settings: Settings, run_id: str) -> list[dict[str, float]]:
    """What was logged of the steps of a training."""
    lines = (settings.checkpoints / run_id / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "loss" in line]


@pytest.mark.slow
def test_every_kind_is_installed(run: Run) -> None:
    rows = command(run, "plugins", "list")
    assert {row["kind"] for row in rows} == set(KINDS)
    assert not any(row["fault"] for row in rows)


@pytest.mark.slow
def test_the_model_the_reader_and_the_metric_by_commands(run: Run, trained: dict[str, Any]) -> None:
    assert trained["state"] == "finished"
    assert 0 <= trained["metrics"]["test"]["nearest"]["sign_share"] <= 1
    rows = command(run, "eval", "leaderboard", "--metric", "sign_share")
    assert "sign_share" in json.dumps(rows)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["C1 + 0.5*spread", "mmd + 0.1*spread"])
def test_the_loss_by_command(run: Run, settings: Settings, loss: str) -> None:
    choices = [f"--set={name}={value}" for name, value in TINY.items()]
    found = command(run, "train", "start", "state", "--split", "s", f"--set=loss={loss}", *choices)
    first = read_losses(settings, found["id"])[0]
    assert found["state"] == "finished" and first["spread"] > 0 and {"energy", "mmd"} & first.keys()


@pytest.mark.slow
def test_the_network_by_command(run: Run, settings: Settings) -> None:
    found = command(run, "train", "start", "linear", "--split", "s", "--set=steps=200", "--set=embedding=expression")
    losses = read_losses(settings, found["id"])
    assert found["state"] == "finished" and losses[-1]["loss"] < 0.5 * losses[0]["loss"]


@pytest.mark.slow
def test_the_scorer_by_command(run: Run, trained: dict[str, Any]) -> None:
    words = ["--run", trained["id"], "--scorer", "squared", "--max-cells", 10]
    score = command(run, "eval", "official", *words)
    assert score["scorer"] == "squared" and score["means"]["squared_error"] > 0


@pytest.mark.slow
def test_the_tracker_by_its_setting(run: Run, settings: Settings) -> None:
    command(
        run,
        "train",
        "start",
        "linear",
        "--split",
        "s",
        "--title=followed",
        "--set=steps=3",
        "--set=embedding=expression",
        trackers="journal",
    )
    [line] = (settings.home / "journal.txt").read_text().splitlines()
    assert line.startswith("followed finished: loss ") and "none" not in line


@pytest.mark.slow
def test_the_check_by_command(run: Run, index: Any, tmp_path: Path) -> None:
    genes, n = index.genes["gene"].tolist(), 20
    values = np.full((n, len(genes)), 1e-3, np.float32)
    values[:, 3] = 9
    with CsrWriter(tmp_path / "pred.h5ad", genes=genes, pert_col="target_gene") as writer:
        for label in (CONTROL, index.labels[1]):
            writer.append(csr_matrix(values), label)
    done = command(run, "submit", "check", tmp_path / "pred.h5ad", "--practice", code=1)
    [check] = [check for check in done if check["name"] == "dominant_gene"]
    assert check["status"] == "failed" and genes[3] in check["message"]


@pytest.mark.slow
def test_each_is_chosen_on_the_pages(run: Run, settings: Settings, trained: dict[str, Any], vectors: Path) -> None:
    command(run, "submit", "plan", "--run", trained["id"], "--practice", "--name", "p")
    command(run, "submit", "build", "p")
    pages = run(ROOT / "tests" / "support" / "plugin_pages.py", vectors)
    assert {"Nearest gene", "Linear network"} <= set(pages["train"]["models"])
    assert {f"embedding={vectors}", "share=0.25"} <= set(pages["train"]["model"])
    assert "loss=C1 + 0.5*spread" in pages["train"]["loss"] and "spread" in pages["train"]["help"]
    assert pages["scores"]["metrics"] == ["sign_share"]
    assert any("Right signs" in text for text in pages["scores"]["charts"])
    assert pages["scores"]["scorer"][-2:] == ["--scorer", "squared"]
    assert pages["page"]["title"] == "Markers" and "MYC" in pages["page"]["chart"]
    assert any("No gene dominates" in text for text in pages["submit"])
    job = wait(settings)
    assert job.state == "succeeded", job.reason
    started = list_runs(settings)[0]
    assert started.spec.params == {"embedding": str(vectors), "share": 0.25} and started.state == "finished"


def wait(settings: Settings, seconds: float = 120) -> Any:
    """The newest job, ended."""
    for _ in range(int(seconds / 0.2)):
        with JobStore(settings) as store:
            job = store.find(task="train")[0]
        if not job.active:
            return job
        time.sleep(0.2)
    pytest.fail("the job did not end")


def test_the_document_shows_the_package_as_it_is() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.DOTALL)
    files = [PLUGIN / "pyproject.toml", *sorted((PLUGIN / "vccapp_example").glob("[!_]*.py"))]
    assert sorted(blocks) == sorted(file.read_text() for file in files)
    assert all(len(file.read_text().splitlines()) <= 60 for file in files)
    assert all(f"`{file.name}`" in text for file in files)
