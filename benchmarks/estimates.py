"""Memory that a training is told to take, against what it takes: both networks, all genes, under several limits.

    python benchmarks/estimates.py [--cells 20000] [--genes 18080] [--limits 1 4 16] [--threads 2]

Each is a process of its own that fits on a simulated file as a run does (baseline, validations, checkpoint, model saved
and predicting), for a few steps: more take longer, and no more memory.

told      by `Model.estimate` under that limit; `refused`: it is above the limit, so the app does not start it
measured  the most that was resident at a time, libraries included, but for pages of the data's files: those are a
          cache that the system takes back when memory is short
of told   measured over told
data      pages of the data's files at that moment
maxrss    with them, as /usr/bin/time has it

Prints a table and writes results/estimates.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kit.measure import add_data_arguments, describe, make_data, print_table, run_apart, write_results

PACKAGES = ("vccapp", "numpy", "torch", "numba")
MODELS: dict[str, dict[str, Any]] = {
    "scouter": {"genes": 0, "steps": 3},
    "state": {"genes": 0, "steps": 3, "validate_every": 2},
}
COLUMNS = {
    "told_bytes": "told",
    "measured_bytes": "measured",
    "of_told": "of told",
    "data_bytes": "data",
    "maxrss_bytes": "maxrss",
}
POLL_SECONDS = 0.2
VECTOR = 256


def prepare(file: Path, folder: Path) -> None:
    """The index of the data, and vectors of the genes, as wide as those that ship with the app."""
    import numpy as np

    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.build import build_index
    from vccapp.stats.index import load_index

    if not (folder / "index.json").exists():
        build_index(open_dataset(file), folder)
    genes = load_index(folder).genes["gene"].to_numpy(str)
    vectors = np.random.default_rng(0).normal(size=(len(genes), VECTOR)).astype(np.float32)
    np.savez(folder.with_suffix(".npz"), genes=genes, vectors=vectors)


def fit(model: str, limit: float, folder: Path, scratch: Path) -> None:
    """In the child: print what is told, then fit, save and predict."""
    from vccapp.data.splits.split import split_from_lists
    from vccapp.models.base import make_model
    from vccapp.settings import Settings
    from vccapp.stats.index import load_index
    from vccapp.training.fit import Fit, fit_rank

    index, settings = load_index(folder), Settings(memory_gb=limit, device="cpu")
    labels = index.labels[1:]
    n = len(labels) // 5
    split = split_from_lists(
        name="bench", dataset="0" * 16, train=labels[2 * n :], val=labels[:n], test=labels[n : 2 * n]
    )
    params = MODELS[model] | {"embedding": str(folder.with_suffix(".npz"))}
    unfitted = make_model(model, params)
    told = unfitted.estimate(index, split, memory_bytes=settings.memory_bytes)
    print(json.dumps({"told_bytes": told.memory_bytes}), flush=True)
    whole = Fit(model=model, params=params, split=split, seed=0, folder=scratch, settings=settings)
    fit_rank(whole, unfitted, index, progress=lambda *_: None)
    unfitted.predict([*split.val, *split.test])


def measure(model: str, limit: float, folder: Path) -> dict[str, Any]:
    """Figures of one fit in a new process, or `failed`."""
    print(f"  {model}, {limit:g} GB ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, __file__, "--fit", model, str(limit), str(folder), scratch]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        peak = data = 0
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            now, of_data = read_resident(child.pid, folder)
            if now > peak:
                peak, data = now, of_data
            time.sleep(POLL_SECONDS)
        child.returncode = os.waitstatus_to_exitcode(status)
        out, err = child.stdout.read(), child.stderr.read().decode()
    if child.returncode:
        return {"failed": err.strip().splitlines()[-1]}
    told = json.loads(out)["told_bytes"]
    found = {"told_bytes": told, "measured_bytes": peak, "of_told": peak / told, "refused": told > limit * 1e9}
    return found | {"data_bytes": data, "maxrss_bytes": usage.ru_maxrss * 1024}


def read_resident(pid: int, folder: Path) -> tuple[int, int]:
    """Resident bytes of a process without the pages of files in `folder`, and those."""
    rest = data = 0
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except OSError:
        return 0, 0
    inside = False
    for line in lines:
        if line.startswith("Rss:"):
            size = int(line.split()[1]) * 1024
            rest, data = (rest, data + size) if inside else (rest + size, data)
        elif line[0].islower() or line[0].isdigit():  # a mapping: addresses, rights, ..., path
            inside = str(folder) in line
    return rest, data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    parser.add_argument("--limits", type=float, nargs="+", default=[1, 4, 16], help="GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=sorted(MODELS))
    choice = parser.parse_args()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(choice.threads))
    file, _ = make_data(choice)
    folder = choice.cache / f"{file.stem}.index"
    if not folder.with_suffix(".npz").exists():
        run_apart(prepare, file, folder)
    rows = {
        f"{model}, {limit:g} GB": measure(model, limit, folder)
        for model in MODELS
        if choice.only in (None, model)
        for limit in choice.limits
    }
    print_table(rows, COLUMNS)
    for name, row in rows.items():
        if row.get("refused"):
            print(f"{name}: refused")
    write_results("estimates", describe(choice, file, PACKAGES) | {"threads": choice.threads, "rows": rows})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fit"]:
        fit(sys.argv[2], float(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
    else:
        main()
