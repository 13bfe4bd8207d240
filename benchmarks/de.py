"""Differential expression of every perturbation against the controls: us and others in turn on one simulated file.

    python benchmarks/de.py [--cells 20000] [--perturbations 40] [--like-tables FOLDER ...] [--cache FOLDER]

`preparation` is what has to happen between the file and the tests: totals, statistics and the gene-major store (ours);
loading, normalising and log1p in memory (the others). `de` is the tests, adjusted, with fold changes. Times exclude
imports and compilation (see measure.py). scanpy does only a few perturbations; `projected` scales its tests to all.
Prints a table, the largest relative difference of p-values between us and illico, and writes results/de.json.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kit.measure import (
    add_data_arguments,
    describe,
    make_data,
    measure_contender,
    pick_best,
    print_table,
    run_child,
    write_results,
)

TARGET, CONTROL = "target_gene", "non-targeting"
PACKAGES = ("vccapp", "numpy", "numba", "anndata", "scanpy", "illico", "pdex")
SCANPY_PERTURBATIONS = 3
SMALLEST_P = 1e-290
"""p-values below are at the end of what a float holds, where relative differences mean nothing."""
COLUMNS = {
    "seconds": "time",
    "preparation_seconds": "preparation",
    "de_seconds": "de",
    "projected_seconds": "projected",
    "times_ours": "times ours",
    "peak_bytes": "peak memory",
    "times_our_memory": "times our memory",
}


def ours(file: Path, scratch: Path) -> dict[str, float]:
    """What `vccapp data index` does for its DE tables; they are left in `scratch`."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.accumulator import Grouping
    from vccapp.stats.building.build import compute_totals, stream
    from vccapp.stats.building.de import compute_de
    from vccapp.stats.normalise import compute_scaling, compute_target_sum
    from vccapp.stats.store import GeneStore

    start = time.perf_counter()
    dataset = open_dataset(file)
    grouping = Grouping.of_cells(dataset.cells, seed=0)
    totals = compute_totals(dataset)
    target_sum = compute_target_sum(totals)
    scaling = compute_scaling(totals, target_sum)
    stream(dataset, grouping, scaling, store=scratch / "store")
    middle = time.perf_counter()
    compute_de(
        GeneStore(scratch / "store"),
        scaling,
        grouping.perturbation,
        grouping.control,
        target_sums=[target_sum],
        folder=scratch / "de",
    )
    return _split(start, middle)


def illico(file: Path, scratch: Path) -> dict[str, float]:
    """Its fastest way: the matrix in memory, compiled backend, a thread a core. Leaves its p-values in `scratch`."""
    import os

    import numpy as np
    from illico import asymptotic_wilcoxon

    start = time.perf_counter()
    data = _normalised(file)
    middle = time.perf_counter()
    table = asymptotic_wilcoxon(
        data, is_log1p=True, group_keys=TARGET, reference=CONTROL, n_threads=os.cpu_count(), exp_post_agg=True
    )
    figures = _split(start, middle)
    wide = table["p_value"].unstack()[data.var_names].sort_index()
    np.savez(scratch / "p_value.npz", labels=wide.index.to_numpy(str), p_value=wide.to_numpy())
    return figures


def pdex(file: Path, scratch: Path) -> dict[str, float]:
    from pdex import pdex as run_pdex

    start = time.perf_counter()
    data = _normalised(file)
    middle = time.perf_counter()
    run_pdex(data, TARGET, mode="ref", is_log1p=True)
    return _split(start, middle)


def scanpy(file: Path, scratch: Path) -> dict[str, float]:
    import scanpy as sc

    start = time.perf_counter()
    data = _normalised(file)
    labels = sorted(set(data.obs[TARGET]) - {CONTROL})
    middle = time.perf_counter()
    some = labels[:SCANPY_PERTURBATIONS]
    sc.tl.rank_genes_groups(data, TARGET, groups=some, reference=CONTROL, method="wilcoxon", tie_correct=True)
    figures = _split(start, middle)
    return figures | {"projected_seconds": middle - start + figures["de_seconds"] * len(labels) / len(some)}


def _normalised(file: Path) -> Any:
    import anndata as ad
    import scanpy as sc

    data = ad.read_h5ad(file)
    sc.pp.normalize_total(data)
    sc.pp.log1p(data)
    return data


def _split(start: float, middle: float) -> dict[str, float]:
    return {"preparation_seconds": middle - start, "de_seconds": time.perf_counter() - middle}


def compare_p_values(ours_folder: Path, illico_folder: Path) -> dict[str, float]:
    """Relative differences over all pairs of perturbation and gene with p above SMALLEST_P.

    Where U is exactly what is expected by chance, p is 1 in ours and in scipy, and a little less in illico, which takes
    the continuity correction past it; these pairs are told apart.
    """
    import numpy as np

    with np.load(illico_folder / "p_value.npz") as found:
        labels, theirs = found["labels"].tolist(), found["p_value"]
    mine = np.load(ours_folder / "de" / "p_value.npy")[1:]  # the control's row is first, then labels in sorted order
    theirs = theirs[[i for i, label in enumerate(labels) if label != CONTROL]]
    difference = np.abs(mine / theirs - 1)
    valid, by_chance = theirs > SMALLEST_P, mine == 1
    return {
        "compared": int(valid.sum()),
        "largest": float(difference[valid & ~by_chance].max()),
        "median": float(np.median(difference[valid & ~by_chance])),
        "u_as_expected": int(by_chance.sum()),
        "largest_where_u_as_expected": float(difference[valid & by_chance].max(initial=0)),
    }


CONTENDERS = {"ours": ours, "illico": illico, "pdex": pdex, "scanpy": scanpy}
TURNS = ["ours", "illico", "pdex", "scanpy", "illico", "ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    choice = parser.parse_args()
    file, tiny = make_data(choice)
    result = describe(choice, file, PACKAGES)
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(dir=choice.cache) as name:
        for turn, contender in enumerate(TURNS):
            scratch = Path(name) / str(turn)
            found = measure_contender(Path(__file__), contender, file=file, tiny=tiny, scratch=scratch)
            runs.setdefault(contender, []).append(found)
        best = pick_best(runs, reference="ours")
        for row in best.values():
            if "seconds" in row:
                total = row.get("projected_seconds", row["preparation_seconds"] + row["de_seconds"])
                row["times_ours"] = total / (best["ours"]["preparation_seconds"] + best["ours"]["de_seconds"])
            row["times_our_memory"] = row["peak_bytes"] / best["ours"]["peak_bytes"]
        print(f"{file.name}, {file.stat().st_size / 1e9:.2f} GB")
        print_table(best, COLUMNS)
        difference = compare_p_values(Path(name) / "0" / "ours", Path(name) / "1" / "illico")
    print(f"p-values of ours and illico, relative difference: {difference}")
    write_results("de", result | {"best": best, "p_value_difference": difference, "runs": runs})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        run_child(CONTENDERS, sys.argv[2:])
    else:
        main()
