"""Statistics of a data file: us and others in turn on one simulated file.

    python benchmarks/index.py [--cells 20000] [--perturbations 40] [--like-tables FOLDER ...] [--cache FOLDER]

Times exclude imports and compilation (see measure.py). `reading` is X's arrays read with h5py and nothing else: the
ratios are to the quicker of its two runs. Prints a table and writes results/index.json. Raising the size shows who
still fits: --cells 221273 is the whole training file.
"""

import argparse
import sys
import tempfile
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

TARGET = "target_gene"
PACKAGES = ("vccapp", "h5py", "numpy", "numba", "anndata", "scanpy", "crispyx")
COLUMNS = {
    "seconds": "time",
    "times_reading": "times reading",
    "peak_bytes": "peak memory",
    "index_bytes": "index on disk",
    "store_bytes": "its store",
}


def reading(file: Path, scratch: Path) -> None:
    """X's arrays through one buffer of 64 MB."""
    import h5py
    import numpy as np

    with h5py.File(file) as store:
        for name in ("data", "indices"):
            values = store["X"][name]
            buffer = np.empty(2**24, values.dtype)
            for start in range(0, len(values), len(buffer)):
                stop = min(start + len(buffer), len(values))
                values.read_direct(buffer, np.s_[start:stop], np.s_[: stop - start])


def our_statistics(file: Path, scratch: Path) -> None:
    """Totals, then every sum of the index in one pass: genes, perturbations, guides, batches, halves."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.accumulator import Grouping
    from vccapp.stats.building.build import compute_totals, stream
    from vccapp.stats.normalise import compute_scaling, compute_target_sum

    dataset = open_dataset(file)
    totals = compute_totals(dataset)
    scaling = compute_scaling(totals, compute_target_sum(totals))
    stream(dataset, Grouping.of_cells(dataset.cells, seed=0), scaling, store=None)


def our_index(file: Path, scratch: Path) -> dict[str, Any]:
    """All of `vccapp data index`: statistics, gene-major store, DE of every perturbation."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.stats.building.build import build_index

    build_index(open_dataset(file), scratch / "index", memory_bytes=2 * 10**9)
    return {
        f"{name}_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for name, folder in (("index", scratch / "index"), ("store", scratch / "index" / "store"))
    }


def scanpy_in_memory(file: Path, scratch: Path) -> None:
    """Normalised log1p, mean and variance of every perturbation, 2,000 highly variable genes."""
    import anndata as ad
    import scanpy as sc

    data = ad.read_h5ad(file)
    sc.pp.normalize_total(data)
    sc.pp.log1p(data)
    sc.get.aggregate(data, TARGET, ["mean", "var"])
    sc.pp.highly_variable_genes(data, n_top_genes=2000)


def anndata_backed(file: Path, scratch: Path) -> None:
    """The same figures by chunks of 2,000 cells: sums and squares of each perturbation, moments for dispersions."""
    import anndata as ad
    import numpy as np
    from scipy.sparse import csr_matrix, diags

    data = ad.read_h5ad(file, backed="r")
    totals = np.concatenate([np.asarray(x.sum(axis=1)).ravel() for x, _, _ in data.chunked_X(2000)])
    scaling = np.median(totals[totals > 0]) / np.maximum(totals, 1)
    codes = data.obs[TARGET].cat.codes.to_numpy()
    sums = np.zeros((2, codes.max() + 1, data.n_vars))
    moments = np.zeros((2, data.n_vars))
    for chunk, start, stop in data.chunked_X(2000):
        size = stop - start
        member = csr_matrix((np.ones(size), (codes[start:stop], np.arange(size))), (sums.shape[1], size))
        linear = (diags(scaling[start:stop]) @ chunk).tocsr()
        logs = linear.log1p()
        for out, power in zip(sums, (logs, logs.power(2)), strict=True):
            out += (member @ power).toarray()
        for out, power in zip(moments, (linear, linear.power(2)), strict=True):
            out += np.asarray(power.sum(axis=0)).ravel()


def crispyx(file: Path, scratch: Path) -> None:
    """Its streamed normalisation to a file, pseudobulks and highly variable genes of that file."""
    import crispyx as cx

    normalised = scratch / "normalised.h5ad"
    cx.normalize_total_log1p(file, normalised, target_sum=5e4, verbose=False)
    bulks = {"method": "mean_log1p", "min_cells": 1, "verbose": False, "output_path": scratch / "bulks.h5ad"}
    cx.aggregate_pseudobulk(normalised, groupby=TARGET, **bulks)
    cx.highly_variable_genes(normalised, flavor="mean_dispersion", cell_mask=None, inplace=False, verbose=False)


CONTENDERS = {
    "reading": reading,
    "our statistics": our_statistics,
    "our index": our_index,
    "scanpy in memory": scanpy_in_memory,
    "anndata backed": anndata_backed,
    "crispyx": crispyx,
}
TURNS = ["reading", "our statistics", "our index", "scanpy in memory", "anndata backed", "crispyx"]
TURNS += ["our index", "our statistics", "reading"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    choice = parser.parse_args()
    file, tiny = make_data(choice)
    result = describe(choice, file, PACKAGES)
    turns = [name for name in TURNS if name != "crispyx" or result["versions"]["crispyx"]]
    runs: dict[str, list[dict[str, Any]]] = {}
    for name in turns:
        with tempfile.TemporaryDirectory(dir=choice.cache) as scratch:
            found = measure_contender(Path(__file__), name, file=file, tiny=tiny, scratch=Path(scratch))
        runs.setdefault(name, []).append(found)
    best = pick_best(runs, reference="reading")
    for row in best.values():
        if "seconds" in row:
            row["times_reading"] = row["seconds"] / best["reading"]["seconds"]
    print(f"{file.name}, {file.stat().st_size / 1e9:.2f} GB")
    print_table(best, COLUMNS)
    write_results("index", result | {"best": best, "runs": runs})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        run_child(CONTENDERS, sys.argv[2:])
    else:
        main()
