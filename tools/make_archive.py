"""Write one of each kind of file that this version of the app keeps, as small as can be, for tests of later versions.

    python tools/make_archive.py tests/archives/0.1.0 [--tree FOLDER]

OUT is replaced. Everything is made by the command line of the version in FOLDER (default: this one) from a few hundred
simulated cells. OUT/home and OUT/checkpoints are a workspace and its runs, OUT/data what they were made from; the
folder they were made in is called @ARCHIVE@ wherever a file names it, see `tests/support/archived.py`.
"""

import argparse
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from archived import PLACE, move_paths  # noqa: E402

LARGE = 200_000  # bytes
N_GENES = 60
CELLS = {"non-targeting": 90} | {f"GENE{i}": 24 for i in range(9)} | {"GENE0+GENE1": 24}
NETWORK = ("embedding=expression", "genes=20", "precision=float32", "metric=val_mae", "learning_rate=0.01")
SCOUTER = ("width=8", "inner=8", "code=4", "n_controls=20", "batch_size=16", "patience=0", "epochs=999", *NETWORK)
STATE = ("set_size=4", "sets=2", "steps=40", "validate_every=10", *NETWORK)
RUNS: dict[str, tuple[str, ...]] = {
    "perturbation_mean": ("perturbation_mean",),
    "ridge": ("ridge", "embedding=expression"),
    "bilinear": ("bilinear", "rank=2"),
    "additive": ("additive",),
    "ensemble": ("ensemble", "embedding=expression"),
    "transfer": ("transfer", "sources={other}", "amplitude=1"),
    "scouter": ("scouter", "steps=60", *SCOUTER),
    "state": ("state", *STATE),
    "state one-hot": ("state", *STATE, "embedding=one-hot", "baseline=knockdown_mean"),
    "state of X_pca": ("state", *STATE, "inputs=X_pca", "batch_encoder=true"),
    "state_checkpoint": ("state_checkpoint", "folder={folder}/data/converted"),
    "state goes on": ("state", *STATE, "start={folder}/data/converted", "adapt=background"),
}
"""Title of a finished run -> model and its parameters."""
UNFINISHED = ("scouter", "steps=3000", *SCOUTER)
SHRINK = """
from vccapp.neural.state import shape
from vccapp.neural.state_embedding import spec
shape.PRESETS["xs"] |= {"width": 8, "inner": 8, "n_heads": 2, "head_width": 4}
spec.SIZES["xs"] = spec.Size(8, 8, 1, 2, 4, 12, 8)
"""
"""Networks smaller than the smallest preset, in every process of the app."""


class Commands:
    """The commands of one version, in a workspace below `folder`."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.folder = folder
        early = folder / "early"
        early.mkdir()
        (early / "sitecustomize.py").write_text(SHRINK)
        self._tree = tree
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, (early, tree))),
            "VCCAPP_HOME": str(folder / "home"),
            "VCCAPP_CHECKPOINTS": str(folder / "checkpoints"),
            "VCCAPP_DATA_ROOTS": str(folder),
            "VCCAPP_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
        }

    def __call__(self, *words: object, code: int = 0) -> Any:
        """Run a command, which must end with `code`; what it printed."""
        command = [sys.executable, "-m", "vccapp", *map(str, words), "--json"]
        print("vccapp", *words, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._tree, env=self._environment)
        if done.returncode != code:
            sys.exit(f"exit code {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout else None

    def train(self, title: str, model: str, *params: str, **options: Any) -> Any:
        words = [word for param in params for word in ("--set", param)]
        words += [word for name, value in options.items() if name != "code" for word in (f"--{name}", value)]
        return self("train", "start", model, "--split", "lists", "--title", title, *words, code=options.get("code", 0))


def make_data(run: Commands) -> tuple[str, str]:
    """Two small screens of the same genes; their fingerprints."""
    data = run.folder / "data"
    data.mkdir()
    (data / "genes.txt").write_text("\n".join(f"GENE{i}" for i in range(N_GENES)) + "\n")
    (data / "counts.csv").write_text("\n".join(["target_gene,n_cells", *(f"{k},{n}" for k, n in CELLS.items())]) + "\n")
    small = ("--set", "median_umis=400", "--set", "compression=gzip", "--set", "strongest=1.5")
    for seed, name in enumerate(("cells", "other")):
        file = data / f"{name}.h5ad"
        chosen = ("--counts", data / "counts.csv", "--genes", data / "genes.txt", "--seed", seed)
        run("data", "simulate", file, *chosen, *small)
    return tuple(run("data", "index", data / f"{name}.h5ad")["dataset"] for name in ("cells", "other"))


def make_splits(run: Commands, dataset: str) -> None:
    run("split", "make", dataset, "--name", "lists", "--val", "GENE5,GENE6", "--test", "GENE7,GENE8")
    run("split", "make", dataset, "--name", "ratio", "--seed", 1)
    run("split", "make", dataset, "--name", "folds", "--folds", 3)
    run("split", "export", "lists", run.folder / "data" / "split.toml")


def make_embeddings(run: Commands, dataset: str) -> None:
    vectors = run.folder / "data" / "cells.truth" / "gene_embedding.npz"
    run("model", "embed", dataset, "--components", 4)
    small = ("--set", "steps=3", "--set", "genes=0", "--set", "batch_size=8", "--set", f"embedding={vectors}")
    run("model", "embed", dataset, "--method", "state", *small)


def make_runs(run: Commands, other: str) -> dict[str, str]:
    """Ids of the finished runs by title; beside them one stopped, one interrupted and one that failed."""
    with zipfile.ZipFile(ROOT / "tests" / "oracles" / "state_run.zip") as packed:
        packed.extractall(run.folder / "official")
    run("model", "convert", run.folder / "official" / "run", run.folder / "data" / "converted", "--yes")
    ids = {}
    for title, (model, *params) in RUNS.items():
        ids[title] = run.train(title, model, *(p.format(other=other, folder=run.folder) for p in params))["id"]
    run.train("failed", "scouter", *SCOUTER, "steps=5", "learning_rate=1e30", code=2)
    interrupt(run, "stopped", signal.SIGTERM)
    interrupt(run, "interrupted", signal.SIGTERM, signal.SIGKILL)
    return ids


def interrupt(run: Commands, title: str, *signals: signal.Signals) -> None:
    """Start a run, and end its process by a signal a few steps later; go on with it for each further signal."""
    params = [word for param in UNFINISHED[1:] for word in ("--set", param)]
    words = ["start", UNFINISHED[0], "--split", "lists", "--title", title, *params]
    for sent in signals:
        job = run("train", *words, "--background")
        words = ["resume", job["params"]["run_id"]]
        log = run.folder / "checkpoints" / job["params"]["run_id"] / "metrics.jsonl"
        size = log.stat().st_size if log.exists() else 0
        while not log.exists() or log.stat().st_size < size + 500:
            time.sleep(0.005)
        os.kill(job["pid"], sent)
        while run("jobs", "show", job["id"])["state"] in ("running", "stopping"):
            time.sleep(0.2)


def make_rest(run: Commands, dataset: str, ids: dict[str, str]) -> None:
    """A submission, its cells imported as a run, scores, a result entered by hand and gene sets."""
    run("submit", "plan", "--run", ids["ridge"], "--controls", 30, "--practice", "--name", "mine")
    run("submit", "build", "mine")
    predicted = run.folder / "home" / "submissions" / "mine" / "pred.h5ad"
    title = ("--title", "imported")
    imported = run("eval", "import", predicted, "--dataset", dataset, "--split", "lists", *title)["run"]["id"]
    for words in (("vccapp",), ("vccapp", "--part", "val", "--season", "2026"), ("cell-eval",)):
        run("eval", "official", "--run", ids["ridge"], "--scorer", *words)
    run("eval", "official", "--run", imported, "--scorer", "vccapp")
    scores = ("--score", "des=0.1", "--score", "pds=0.2", "--score", "mae=0.3", "--score", "overall=0.2")
    about = ("--season", "2025", "--date", "2025-11-21", "--note", "a note", "--run", ids["ridge"])
    run("eval", "entered", "add", *about, *scores, "--submission", "mine")
    sets = run.folder / "home" / "gene_sets" / "sets.gmt"
    sets.parent.mkdir()
    sets.write_text("FIRST\tnone\tGENE0\tGENE1\nSECOND\tnone\tGENE2\tGENE3\n")


def pack(folder: Path) -> None:
    """Large files packed by gzip; `unpack` gives them back to the byte."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > LARGE:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tree", type=Path, default=ROOT, help="the version that writes")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "archive"
        folder.mkdir()
        run = Commands(choice.tree.resolve(), folder)
        dataset, other = make_data(run)
        make_splits(run, dataset)
        make_embeddings(run, dataset)
        make_rest(run, dataset, make_runs(run, other))
        for name in ("early", "official"):
            shutil.rmtree(folder / name)
        move_paths(folder, str(folder), PLACE)
        pack(folder)
        shutil.rmtree(choice.out, ignore_errors=True)
        shutil.copytree(folder, choice.out)


if __name__ == "__main__":
    main()
