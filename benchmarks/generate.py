"""Cells of a submission of 2026, generated as counts: time, memory, and what they hold.

    python benchmarks/generate.py [--targets 8] [--whole] [--package] [--method thin] [--umis 28500] [--scratch DIR]

Simulates the control cells of three contexts (18,400 cells x 18,533 genes each, --umis counts, about 6,000 genes a
cell: 360,000 such cells have 2.1 billion values), indexes them, fits a simple model on a small screen of the same
genes, and generates 400 cells of each target in each context, in a process of its own. `--whole` makes all 300 targets,
else the time is extrapolated; `--package` checks and packages them too, each in a process of its own. Writes
results/generate.json.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kit.measure import describe_machine, measure, run_apart, write_results

if TYPE_CHECKING:
    from vccapp.seasons.base import Season

N_GENES, N_CONTROLS, N_CELLS, N_TARGETS = 18_533, 18_400, 400, 300
CONTEXTS = ("A", "B", "C")
CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from generate import generate_cells
start = time.perf_counter()
print(json.dumps(generate_cells(Path(sys.argv[2]), **json.loads(sys.argv[3]))))
"""


def make_data(folder: Path, n_controls: int, umis: float) -> None:
    """context_A.h5ad ..., each with its index, and screen.h5ad with some perturbations for the model."""
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

    from vccapp.data.h5ad import GrowingCsr, create_h5, write_tables
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.schema import Columns
    from vccapp.data.simulation.sampling import sample_cells
    from vccapp.data.splits.split import split_from_lists
    from vccapp.models.base import make_model
    from vccapp.stats.building.build import build_index
    from vccapp.stats.index import load_index

    rng = np.random.default_rng(0)
    genes = [f"GENE{i}" for i in range(N_GENES)]
    levels = rng.lognormal(0, 2.0, N_GENES)

    def write(path: Path, labels: list[str], level: np.ndarray) -> None:
        share = (level / level.sum()).astype(np.float32)[None]
        depths = rng.lognormal(np.log(umis), 0.35, len(labels)).astype(np.float32)
        places = sorted(set(labels) - {"non-targeting"})
        rows = np.array([1 + places.index(label) if label in places else 0 for label in labels], np.int32)
        effects = np.zeros((1 + len(places), N_GENES), np.float32)
        effects[1:] = rng.normal(0, 0.15, (len(places), N_GENES)) * (rng.random((len(places), N_GENES)) < 0.1)
        with create_h5(path) as file:
            x = GrowingCsr(file, n_genes=N_GENES)
            for first in range(0, len(labels), 400):
                own = slice(first, first + 400)
                n = len(rows[own])
                values, indices = np.empty(n * N_GENES, np.float32), np.empty(n * N_GENES, np.int32)
                ends = np.empty(n, np.int64)
                zeros, ones = np.zeros(n, np.int32), np.ones(n, np.float32)
                spread = np.full(N_GENES, 0.15, np.float32)
                sample_cells(
                    *(np.uint64(7), first, zeros, depths[own], rows[own], share, effects, ones, spread),
                    *(indices, values, ends),
                )
                block = csr_matrix((values[: ends[-1]], indices[: ends[-1]], np.append(0, ends)), shape=(n, N_GENES))
                x.append(block.data, block.indices, block.indptr[1:])
            x.close()
            obs = pd.DataFrame({"target_gene": pd.Categorical(labels), "ntc_id": pd.Categorical(["all"] * len(labels))})
            obs.index = obs.index.astype(str)
            write_tables(file, obs=obs, var=pd.DataFrame(index=genes), uns={})

    for context in CONTEXTS:
        path = folder / f"context_{context}.h5ad"
        write(path, ["non-targeting"] * n_controls, levels * rng.lognormal(0, 0.4, N_GENES))
        build_index(open_dataset(path, columns=Columns(perturbation="target_gene")), folder / f"index_{context}")
    labels = ["non-targeting"] * 1000 + [f"GENE{i}" for i in range(20) for _ in range(100)]
    write(folder / "screen.h5ad", labels, levels)
    build_index(open_dataset(folder / "screen.h5ad"), folder / "screen")
    index = load_index(folder / "screen")
    lists = {"train": index.perturbed[:16], "val": index.perturbed[16:18], "test": index.perturbed[18:]}
    split = split_from_lists(name="s", dataset=index.meta["fingerprint"], **lists)
    make_model("perturbation_mean").fit(index, split, seed=0).save(folder / "model")


def generate_cells(folder: Path, *, n_targets: int, method: str, depth: float | None, out: str) -> dict:
    """The child's side."""
    import time

    import h5py

    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.schema import Columns
    from vccapp.models.base import load_model
    from vccapp.seasons.base import SEASONS
    from vccapp.stats.index import load_index
    from vccapp.submission.making.generate import Opened, generate
    from vccapp.submission.plan import Plan, Source
    from vccapp.training.aligned import align_model

    season = SEASONS["vcc2026"]
    model = load_model(folder / "model")
    sources = {}
    for context in CONTEXTS:
        index = load_index(folder / f"index_{context}")
        dataset = open_dataset(folder / f"context_{context}.h5ad", columns=Columns(perturbation="target_gene"))
        sources[context] = Opened(dataset, index, align_model(model, index))
    cells = {f"GENE{i + 100}@{context}": N_CELLS for context in CONTEXTS for i in range(n_targets)}
    plan = Plan(
        id="all",
        season=season.name,
        phase="validation",
        space="counts",
        sources={name: Source(dataset=one.dataset.fingerprint, run="mean") for name, one in sources.items()},
        genes=None,
        n_genes=N_GENES,
        cells=cells,
        wanted=cells,
        n_controls=0,
        values_per_cell=float(sources["A"].index.cells["genes"].mean()),
        seed=0,
        practice=True,
        depth=depth,
        counts=method,
    )
    start = time.perf_counter()
    generate(plan, sources, Path(out), season=season)
    seconds = time.perf_counter() - start
    with h5py.File(out) as file:
        values = len(file["X/data"])
    return {
        "seconds": seconds,
        "cells": len(cells) * N_CELLS,
        "values": values,
        "bytes": Path(out).stat().st_size,
    }


CHECK = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from generate import check_cells, package_cells
start = time.perf_counter()
found = {"check": check_cells, "package": package_cells}[sys.argv[3]](Path(sys.argv[2]), int(sys.argv[4]))
print(json.dumps(found | {"seconds": round(time.perf_counter() - start, 1)}))
"""


def season_of(n_targets: int) -> "Season":
    """That of 2026 with the targets of the benchmark."""
    from vccapp.seasons.base import SEASONS, Target

    season = SEASONS["vcc2026"]
    targets = tuple(Target(label=f"GENE{i + 100}") for i in range(n_targets))
    phase = season.phases[0].model_copy(update={"targets": targets})
    return season.model_copy(update={"phases": (phase,)})


def check_cells(h5ad: Path, n_targets: int) -> dict:
    from vccapp.submission.check import run_checks

    results = run_checks(h5ad, season_of(n_targets), genes=[f"GENE{i}" for i in range(N_GENES)])
    return {"failed": [result.name for result in results if result.status == "failed"], "checks": len(results)}


def package_cells(h5ad: Path, n_targets: int) -> dict:
    from vccapp.submission.packing.package import write_vcc
    from vccapp.submission.packing.slim import slimmed

    out, season = h5ad.with_suffix(".vcc"), season_of(n_targets)
    with slimmed(h5ad, h5ad.parent, season) as ready:
        package = write_vcc(ready, out, season)
    out.unlink()
    return {"h5ad_bytes": package.h5ad_size, "vcc_bytes": package.size, "rewritten": ready != h5ad}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--method", nargs="+", default=["thin"], choices=["thin", "negative_binomial"])
    parser.add_argument("--umis", type=float, default=28_500, help="median of a cell, of controls and of what is made")
    parser.add_argument("--controls", type=int, default=N_CONTROLS)
    parser.add_argument("--scratch", type=Path, help="where data and cells are written; the data are found there again")
    parser.add_argument("--package", action="store_true", help="check and package the cells too")
    parser.add_argument("--keep", action="store_true", help="leave the cells in --scratch")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=choice.scratch) as name:
        data = (choice.scratch or Path(name)) / f"generate_{choice.controls}_{choice.umis:.0f}"
        if not (data / "model").is_dir():
            data.mkdir(parents=True, exist_ok=True)
            run_apart(make_data, data, choice.controls, choice.umis)
        n_targets = N_TARGETS if choice.whole else choice.targets
        result = describe_machine(["vccapp", "numpy", "numba", "h5py"])
        result |= {"genes": N_GENES, "controls_a_context": choice.controls, "umis": choice.umis, "methods": {}}
        for method in choice.method:
            out = (data if choice.keep else Path(name)) / "cells.h5ad"
            asked = {"n_targets": n_targets, "method": method, "depth": choice.umis, "out": str(out)}
            found = measure([sys.executable, "-c", CHILD, str(Path(__file__).parent), str(data), json.dumps(asked)])
            if "failed" in found:
                sys.exit(f"{method} failed: {found['failed']}")
            row = json.loads(found.pop("printed").splitlines()[-1])
            whole = N_TARGETS * N_CELLS * len(CONTEXTS)
            row |= {"peak_bytes": found["peak_bytes"], "cpu_seconds": round(found["cpu_seconds"], 1)}
            row |= {"cells_a_second": round(row["cells"] / row["seconds"]), "load_after": found["load_after"]}
            row |= {"whole_file_seconds": round(whole / row["cells"] * row["seconds"])}
            row["seconds"] = round(row["seconds"], 1)
            result["methods"][method] = row
            print(
                f"{method}: {row['cells']:,} cells, {row['values']:,} values in {row['seconds']} s, "
                f"{row['cells_a_second']:,} cells a second, peak {row['peak_bytes'] / 1e9:.2f} GB, "
                f"{row['bytes'] / 1e9:.2f} GB; all {whole:,} cells: {row['whole_file_seconds'] / 60:.1f} minutes"
            )
            for step in ("check", "package") if choice.package else ():
                words = [sys.executable, "-c", CHECK, str(Path(__file__).parent), str(out), step, str(n_targets)]
                found = measure(words)
                if "failed" in found:
                    sys.exit(f"{step} failed: {found['failed']}")
                row[step] = json.loads(found.pop("printed").splitlines()[-1]) | {"peak_bytes": found["peak_bytes"]}
                print(f"{step}: {row[step]}", flush=True)
            if not choice.keep:
                out.unlink()
        write_results("generate", result)


if __name__ == "__main__":
    main()
