"""Two versions of the project in turn: index, de, score and train, in one call.

    git worktree add ../before COMMIT
    python benchmarks/trees.py ../before . [--cells 20000] [--genes 2000] [--turns 3] [--only train]

Each tree runs its own benchmark scripts on the same files, each time in a process of its own, with the packages of
this interpreter. Processor time (that of a step, of the training) is what other work on the machine changes least.
Prints a table of the quickest runs and the ratio of the last tree to the first, and writes results/trees.json.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from kit.measure import add_data_arguments, describe, make_data, measure, print_table, write_results
from score import make_pair

PACKAGES = ("numpy", "numba", "torch")
OURS = {"index": "our index", "de": "ours"}
PARTS = ("index", "de", "score", "train")
COLUMNS = {
    "cpu_seconds": "CPU time",
    "times_cpu": "times first",
    "seconds": "wall time",
    "times_wall": "times first",
    "cells_per_second": "cells/CPU s",
}
PREPARE = (
    "import sys; sys.path.insert(0, {0!r}); import train; from pathlib import Path; train.prepare(*map(Path, {1}))"
)
WORDS = (
    "import json, sys; sys.path.insert(0, {0!r}); import score; from pathlib import Path; "
    "print(json.dumps(list(map(str, score.ours(*map(Path, {1}), '2025', Path({2!r}))))))"
)


def run(words: list[str], tree: Path) -> dict[str, Any]:
    """What a process of a tree took and printed."""
    os.environ["PYTHONPATH"] = str(tree)
    os.chdir(tree)  # the first place where `-c` and `-m` look
    found = measure(words)
    if "failed" in found:
        sys.exit(f"{tree}: {found['failed']}")
    return found


def measure_part(part: str, tree: Path, choice: argparse.Namespace, files: dict[str, Path]) -> dict[str, float]:
    """cpu_seconds and seconds of one part in a tree; of a training, those of a thousand steps."""
    script = str(tree / "benchmarks" / f"{part}.py")
    with tempfile.TemporaryDirectory(dir=choice.cache) as scratch:
        if part == "train":
            folder = str(files[f"prepared {tree}"])
            words = [sys.executable, script, "--contender", "scouter", "ours", folder, str(choice.steps)]
            figures = json.loads(run(words, tree)["printed"].splitlines()[-1])
            rate = figures["cpu_cells_per_second"]
            return {
                "cpu_seconds": 256_000 / rate,
                "seconds": 256_000 / figures["cells_per_second"],
                "cells_per_second": rate,
            }
        if part == "score":
            pair = [str(files["pair"] / f"logs_{side}.h5ad") for side in ("real", "predicted")]
            code = WORDS.format(str(tree / "benchmarks"), pair, scratch)
            words = json.loads(run([sys.executable, "-c", code], tree)["printed"].splitlines()[-1])
            found = run(words, tree)
            return {"cpu_seconds": found["cpu_seconds"], "seconds": found["process_seconds"]}
        found = run(
            [sys.executable, script, "--contender", OURS[part], str(files["file"]), str(files["tiny"]), scratch], tree
        )
        figures = json.loads(found["printed"].splitlines()[-1])
        return {"cpu_seconds": found["cpu_seconds"], "seconds": figures["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    parser.add_argument("trees", type=Path, nargs=2, help="checkouts, the earlier first")
    parser.add_argument("--controls", type=int, default=5000, help="of the pair that is scored")
    parser.add_argument("--umis", type=int, default=20_000, help="median of a cell of the pair")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1, help="of the training")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.set_defaults(genes=2000)
    choice = parser.parse_args()
    trees = [tree.resolve() for tree in choice.trees]
    os.environ |= {"OMP_NUM_THREADS": str(choice.threads), "MKL_NUM_THREADS": str(choice.threads)}
    file, tiny = make_data(choice)
    files = {"file": file, "tiny": tiny}
    result: dict[str, Any] = describe(choice, file, PACKAGES) | {"trees": [tree.name for tree in trees]}
    with tempfile.TemporaryDirectory(dir=choice.cache) as scratch:
        if "score" in choice.only:
            pair = argparse.Namespace(**vars(choice) | {"cells": max(choice.cells // 100, 10)})
            files["pair"] = make_pair(pair)
        if "train" in choice.only:
            for number, tree in enumerate(trees):
                folder = files[f"prepared {tree}"] = Path(scratch) / str(number)
                folder.mkdir()
                run([sys.executable, "-c", PREPARE.format(str(tree / "benchmarks"), [str(file), str(folder)])], tree)
        for part in choice.only:
            runs: dict[str, list[dict[str, float]]] = {str(tree): [] for tree in trees}
            for turn in range(choice.turns):
                for tree in trees if turn % 2 == 0 else reversed(trees):
                    print(f"  {part}, {tree.name} ...", file=sys.stderr, flush=True)
                    runs[str(tree)].append(measure_part(part, tree, choice, files))
            best = {name: dict(min(found, key=lambda run: run["cpu_seconds"])) for name, found in runs.items()}
            first, last = (best[str(tree)] for tree in trees)
            last["times_cpu"] = last["cpu_seconds"] / first["cpu_seconds"]
            last["times_wall"] = min(run["seconds"] for run in runs[str(trees[1])]) / min(
                run["seconds"] for run in runs[str(trees[0])]
            )
            print(f"{part}: {file.name}")
            print_table(best, COLUMNS)
            result[part] = {tree.name: runs[str(tree)] for tree in trees} | {"times_cpu": last["times_cpu"]}
    write_results("trees", result)


if __name__ == "__main__":
    main()
