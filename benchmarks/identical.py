"""Whether two versions compute the same: hashes of every array that the whole path writes, by the command line.

    python benchmarks/identical.py write OUT.json [--tree FOLDER]
    python benchmarks/identical.py compare BEFORE.json [--tree FOLDER]      # runs again; exit code 1 where they differ

Index, split, every model, scores of cells, a submission and embeddings of cells are made on the demo and on the real
sample, by the version in FOLDER (default: this one). Hashed are the bytes of arrays, not of files: records may gain
fields. `text` holds arrays that are text in disguise, which `compare` leaves out. A hash is only good on the machine
that made it, as products of matrices round as its processor does.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kit.measure import describe_machine

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "--set genes=300 --set precision=float32 --set patience=0"
SCOUTER = f"scouter {NETWORK} --set width=64 --set inner=32 --set code=16 --set batch_size=32 --set steps=60"
STATE = f"state {NETWORK} --set set_size=8 --set sets=4 --set steps=8 --set validate_every=4"
MODELS = {
    "control_mean": "control_mean",
    "perturbation_mean": "perturbation_mean",
    "knockdown_mean": "knockdown_mean",
    "additive": "additive",
    "bilinear": "bilinear",
    "bilinear_default": "bilinear --set embedding=default",
    "ridge": "ridge",
    "knn": "knn",
    "ensemble": "ensemble",
    "transfer": "transfer --set sources={dataset}",
    "scouter": SCOUTER,
    "scouter_faithful": f"{SCOUTER} --set faithful=true",
    "state": STATE,
    "state_c4": f"{STATE} --set embedding=one-hot --set loss=C4 --set mapping=batch --set batch_encoder=true",
    "state_of_pca": f"{STATE} --set inputs=X_pca",
    "state_faithful": f"{STATE} --set faithful=true",
}
"""Name of a run -> the words after `train start`."""
COMMANDS = {
    "demo": "data demo",
    "sample": "data index {sample}",
    "split": "split make {dataset} --name {name} {parts}",
    "pca": "model embed {dataset} --method pca --components 10",
    "se": "model embed {dataset} --method state --set steps=3 --set batch_size=8 --set genes=300 --seed 1",
    "preprocess": "data preprocess {dataset} {out} --n-hvg 200",
    "train": "train start {model} --split {name} --seed 5",
    "score": "eval official --run {run} --scorer vccapp --season {season} --part test",
    "plan": "submit plan --run {run} --controls 40 --practice --name {name}",
    "build": "submit build {name}",
    "import": "eval import {file} --dataset {dataset} --split {name}",
}
"""All other words of the command line that are used; these change where a version has others."""
PARTS = {"demo": "--ratio 0.5 0.2 0.3 --seed 3", "sample": "--val STAT1 --test TET1"}
SCORED = {"ridge": "2025", "scouter": "2026", "state": "2025"}
PREDICTS = "ridge"
LEFT_OUT = ("references-val", "references-test")
"""Tables of what stands beside each run; their means are among its metrics."""
Arrays = Iterator[tuple[str, np.ndarray]]


class Commands:
    """The commands of the version in `tree`, in a workspace of their own."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.tree, self.folder, self.failed = tree, folder, []
        one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        places = {"HOME": folder / "home", "CHECKPOINTS": folder / "checkpoints", "DATA_ROOTS": folder, "DEVICE": "cpu"}
        self._environment = os.environ | one | {f"VCCAPP_{name}": str(value) for name, value in places.items()}
        self._environment["PYTHONPATH"] = str(tree)

    def __call__(self, words: str, **names: object) -> dict[str, Any] | None:
        """Run a command; what it printed, or None where it failed, which is told and noted."""
        filled = words.format(**names).split()
        command = [sys.executable, "-m", "vccapp", *filled, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.tree, env=self._environment)
        if done.returncode == 0:
            return json.loads(done.stdout)
        print(f"FAILED {' '.join(filled)}: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        self.failed.append(" ".join(filled).replace(str(self.folder), ""))
        return None


def run_path(run: Commands) -> Arrays:
    """Make everything; the name and the values of each array."""
    [sample] = [path for path in run.tree.rglob("h1_sample.h5ad") if ".venv" not in path.parts]
    found = {name: run(COMMANDS[name], sample=sample) for name in ("demo", "sample")}
    datasets = {name: result["dataset"] for name, result in found.items()}
    for name, dataset in datasets.items():
        print(name, flush=True)
        for made, path in make(run, name, dataset).items():
            for array, values in read_below(path):
                yield f"{name}/{made}/{array}", values


def make(run: Commands, name: str, dataset: str) -> dict[str, Path]:
    """All steps after the index, in parallel as far as they do not wait for each other; files and folders by name."""
    asked = {"name": name, "dataset": dataset, "parts": PARTS[name], "out": run.folder / f"{name}.h5ad"}
    home, checkpoints = run.folder / "home", run.folder / "checkpoints"
    for step in ("split", "pca", "se", "preprocess"):
        run(COMMANDS[step], **asked)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        words = [COMMANDS["train"].format(model=model.format(**asked), name=name) for model in MODELS.values()]
        records = dict(zip(MODELS, pool.map(run, words), strict=True))
        ids = {model: record["id"] for model, record in records.items() if record}
        words = [COMMANDS["score"].format(run=ids[m], season=s) for m, s in SCORED.items() if m in ids]
        list(pool.map(run, words))
    run(COMMANDS["plan"], run=ids.get(PREDICTS), **asked)
    run(COMMANDS["build"], **asked)
    submission = home / "submissions" / name
    if imported := run(COMMANDS["import"], file=submission / "pred.h5ad", **asked):
        ids["imported"] = imported["run"]["id"]
    made = {"data": home / "datasets" / dataset, "splits": home / "splits" / f"{name}.json"}
    made |= {"preprocessed": asked["out"], "submission": submission}
    return made | {model: checkpoints / id for model, id in ids.items()}


def read_below(path: Path) -> Arrays:
    """The arrays of all files below a folder, or of one file, named after the files and what is in them."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []:
        if file.is_file() and file.stem not in LEFT_OUT and (reader := READERS.get(file.suffix)):
            inside = file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else ""
            inside = inside.removesuffix("/state") if file.suffix == ".safetensors" else inside
            for name, values in reader(file):
                yield "/".join(part for part in (inside, name) if part and part != "."), values


def read_npz(path: Path) -> Arrays:
    with np.load(path) as arrays:
        yield from arrays.items()


def read_safetensors(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    yield from sorted(load_file(path).items())


def read_frame(frame: pd.DataFrame) -> Arrays:
    for name in frame:
        column = frame[name]
        yield str(name), column.to_numpy() if pd.api.types.is_numeric_dtype(column) else column.to_numpy(str)


def read_h5ad(path: Path) -> Arrays:
    import anndata as ad

    cells = ad.read_h5ad(path)
    yield "X/data", cells.X.data
    yield from ((f"X/{name}", getattr(cells.X, name).astype(np.int64)) for name in ("indices", "indptr"))
    for kind, frame in (("obs", cells.obs), ("var", cells.var)):
        yield f"{kind}/names", frame.index.to_numpy(str)
        yield from ((f"{kind}/{name}", values) for name, values in read_frame(frame))
    yield from ((f"obsm/{name}", np.asarray(values)) for name, values in cells.obsm.items())


def read_log(path: Path) -> Arrays:
    """Each value of the lines of a training's log, in their order."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for name in sorted({name for line in lines for name in line}):
        yield name, np.array([line[name] for line in lines if name in line], np.float64)


def read_record(path: Path) -> Arrays:
    """Of a JSON record: the parts of a split or a prediction; each mean score of a run, its references and the judges.

    A mean score of a run is an array over the run, the baselines and the limits, by name.
    """
    record = json.loads(path.read_text())
    for part in ("train", "val", "test"):
        if isinstance(record.get(part), list):
            yield part, np.array(record[part], str)
    for part, sources in record.get("metrics", {}).items():
        table = pd.DataFrame(sources).sort_index(axis=1).astype(np.float64)
        yield from ((f"metrics/{part}/{metric}", row.to_numpy()) for metric, row in table.iterrows())
    for metric, score in record.get("scaled", {}).items():
        yield f"scaled/{metric}", np.array([score["raw"], score["clipped"]], np.float64)


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npy": lambda path: iter([("", np.load(path))]),
    ".npz": read_npz,
    ".bin": lambda path: iter([("", np.fromfile(path, np.uint8))]),
    ".safetensors": read_safetensors,
    ".parquet": lambda path: read_frame(pd.read_parquet(path)),
    ".h5ad": read_h5ad,
    ".jsonl": read_log,
    ".json": read_record,
}


def describe_array(values: np.ndarray) -> str:
    """Type, shape and the beginning of the sha256 of the bytes; of text, of UTF-8 lines."""
    text = values.dtype.kind in "UO"
    content = "\n".join(values.ravel().tolist()).encode() if text else np.ascontiguousarray(values).tobytes()
    kind = "text" if text else values.dtype.name
    return f"{kind} {'x'.join(map(str, values.shape))} {hashlib.sha256(content).hexdigest()[:16]}"


def is_hidden_text(name: str, values: np.ndarray) -> bool:
    """Whether it is text among the arrays of a model, as 0.1.0 kept it."""
    return "/model/" in name and values.dtype == np.uint8


def measure(tree: Path) -> dict[str, Any]:
    found: dict[str, dict[str, dict[str, str]]] = {"arrays": {}, "text": {}}
    with tempfile.TemporaryDirectory() as scratch:
        run = Commands(tree, Path(scratch).resolve())
        for name, values in run_path(run):
            kind = "text" if is_hidden_text(name, values) else "arrays"
            dataset, made, array = name.split("/", 2)
            found[kind].setdefault(f"{dataset}/{made}", {})[array] = describe_array(values)
    print(f"{len(flatten(found['arrays'])):,} arrays, {len(run.failed)} commands failed")
    return describe_machine(("numpy", "scipy", "torch", "numba", "pandas")) | {"failed": run.failed} | found


def flatten(nested: dict[str, dict[str, str]]) -> dict[str, str]:
    """All arrays by their whole names, e.g. demo/ridge/prediction/deltas."""
    return {f"{made}/{array}": text for made, arrays in nested.items() for array, text in arrays.items()}


def compare(before: dict[str, str], after: dict[str, str]) -> bool:
    """Print what differs; whether nothing is missing or different. New arrays are no difference."""
    parts = {
        "new": [f"{name}: {after[name]}" for name in after if name not in before],
        "missing": [f"{name}: {before[name]}" for name in before if name not in after],
        "different": [f"{n}: {before[n]} -> {after[n]}" for n in before if n in after and before[n] != after[n]],
    }
    for kind, lines in parts.items():
        print(f"{kind}: {len(lines):,}", *lines, sep="\n  ")
    print(f"the same: {sum(before[name] == after.get(name) for name in before):,} of {len(before):,}")
    return not (parts["missing"] or parts["different"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--tree", type=Path, default=ROOT, help="the version that runs")
    choice = parser.parse_args()
    before = json.loads(choice.file.read_text()) if choice.what == "compare" else None
    after = measure(choice.tree.resolve())
    if before is None:
        choice.file.write_text(json.dumps(after, indent=0) + "\n")
    elif not compare(flatten(before["arrays"]), flatten(after["arrays"])):
        sys.exit(1)


if __name__ == "__main__":
    main()
