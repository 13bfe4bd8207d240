"""From signatures to targets: split-half recovery on real data, and the time of a query at full size.

    python benchmarks/targets.py --data FOLDER          # writes results/targets.json
    python benchmarks/targets.py                        # the query alone

FOLDER holds papalexi2021_thp1 and perturbench_devel. The cells of each perturbation are divided at random: a signature
of --cells of them (of half of them, where there are fewer than twice as many), and the library from all others. A
signature looks for its own perturbation in the library, with own targets left out on both sides.

auroc       share of the other perturbations that are ranked behind its own; 0.5 by chance. Mean over the perturbations
            and over divisions, with the standard deviation over divisions
top5        share of signatures whose own perturbation is among the first five
controls    `same`: signature and library are against all controls, as an index has them; `own`: each against a half of
            the controls, as a signature from elsewhere would be

The query: a signature of all genes against --effects random effects that lie in a file, whose pages are in the cache.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from kit.measure import RESULTS, describe_machine, write_results
from kit.real_sets import open_sets

from vccapp.data.schema import CONTROL
from vccapp.evaluation.targets.library import ABOUT, Effects, Library, take_rows
from vccapp.evaluation.targets.ranking import rank_targets
from vccapp.evaluation.targets.signature import Signature
from vccapp.evaluation.targets.validation import find_own
from vccapp.stats.index import Index

SETS = ("Papalexi THP-1", "Norman K562")


def divide(index: Index, values: dict[str, np.ndarray], *, n_cells: int, own_controls: bool, seed: int) -> tuple:
    """(n, G) signatures and effects of one division of the cells. values : by label (G, cells)"""
    rng = np.random.default_rng(seed)
    controls = values[CONTROL][:, rng.permutation(values[CONTROL].shape[1])]
    halves = np.array_split(controls, 2, axis=1) if own_controls else (controls, controls)
    one, two = (half.mean(axis=1) for half in halves)
    signatures, effects = [], []
    for label in index.perturbed:
        cells = values[label][:, rng.permutation(values[label].shape[1])]
        taken = min(n_cells, cells.shape[1] // 2)
        signatures.append(cells[:, :taken].mean(axis=1) - one)
        effects.append(cells[:, taken:].mean(axis=1) - two)
    return np.array(signatures, np.float32), np.array(effects, np.float32)


def recover(index: Index, signatures: np.ndarray, deltas: np.ndarray) -> tuple[float, float]:
    """Mean AUROC, and share among the first five."""
    genes = tuple(index.genes["gene"])
    effects = Effects(tuple(index.perturbed), genes, lambda rows: deltas[rows])
    cosine = find_own(effects, signatures, np.arange(len(deltas)))
    ahead = (cosine > np.diag(cosine)).sum(axis=0)
    return float(1 - ahead.mean() / (len(deltas) - 1)), float((ahead < 5).mean())


def measure_recovery(index: Index, *, n_cells: int, divisions: int) -> dict[str, dict[str, float]]:
    cells = index.cells["perturbation"].to_numpy(str)
    values = {label: index.cell_values(np.flatnonzero(cells == label)) for label in index.labels}
    found = {}
    for controls in ("same", "own"):
        divided = (
            divide(index, values, n_cells=n_cells, own_controls=controls == "own", seed=seed)
            for seed in range(divisions)
        )
        scores = np.array([recover(index, *parts) for parts in divided])
        means, spread = scores.mean(axis=0), scores.std(axis=0, ddof=1)
        found[controls] = {"auroc": means[0], "auroc_sd": spread[0], "top5": means[1]}
    return {kind: {name: round(float(value), 4) for name, value in own.items()} for kind, own in found.items()}


def measure_query(folder: Path, *, n_effects: int, n_genes: int, repeats: int = 5) -> dict[str, float]:
    """Seconds of the first opening and of a query, and the memory that they take beside the file."""
    import pandas as pd

    rng = np.random.default_rng(0)
    means = np.lib.format.open_memmap(folder / "mean.npy", "w+", np.float32, (n_effects, n_genes))
    for start in range(0, n_effects, 500):
        block = means[start : start + 500]
        block[:] = rng.normal(0, 0.1, block.shape)
    means.flush()
    genes = tuple(f"G{i}" for i in range(n_genes))
    effects = Effects(genes[:n_effects], genes, lambda rows: take_rows(means, rows) - means[0])
    about = pd.DataFrame({"perturbation": effects.labels}).reindex(columns=["perturbation", *ABOUT])
    library = Library("made up", "0", None, "measured", "", effects, about)
    start = time.perf_counter()
    _ = effects.mean, effects.targets
    opening = time.perf_counter() - start
    signature = Signature("s", dict(zip(genes, rng.normal(size=n_genes).tolist(), strict=True)))
    found = {"effects": n_effects, "genes": n_genes, "opening_seconds": round(opening, 2)}
    for name, ridge in (("query_seconds", False), ("query_with_ridge_seconds", True)):
        times, cpu = [], []
        for _ in range(repeats):
            start, before = time.perf_counter(), time.process_time()
            rank_targets(signature, [library], ridge=ridge)
            times.append(time.perf_counter() - start)
            cpu.append(time.process_time() - before)
        found[name.replace("seconds", "cpu_seconds")] = round(min(cpu), 2)
        found[name], found[f"{name}_median"] = round(min(times), 2), round(float(np.median(times)), 2)
    found["peak_bytes_with_the_file"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cells", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--divisions", type=int, default=50)
    parser.add_argument("--effects", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=18_080)
    args = parser.parse_args()
    machine = describe_machine(["numpy", "scipy"])
    before = RESULTS / "targets.json"
    result: dict = json.loads(before.read_text()) if before.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        query = measure_query(Path(scratch), n_effects=args.effects, n_genes=args.genes)
        result["query"] = {"machine": machine, **query}
        print(query, flush=True)
        if args.data:
            result["recovery"] = []
        for real in open_sets(args.data, Path(scratch)) if args.data else ():
            if real.title not in SETS:
                continue
            for n_cells in args.cells:
                found = measure_recovery(real.index, n_cells=n_cells, divisions=args.divisions)
                row = {"set": real.title, "perturbations": len(real.labels), "cells": n_cells, **found}
                result["recovery"].append(row)
                print(row, flush=True)
    write_results("targets", result)


if __name__ == "__main__":
    main()
