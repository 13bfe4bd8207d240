"""Our packager against the official one (`cell-eval prep`) on one simulated prediction.

    python benchmarks/package.py [--cells 20000] [--values 1500] [--repeats 2]

Both get the same h5ad and write to the same disk, in turn, each in a process of its own; the time of a process includes
its imports, as a user waits for them. Peak memory is that of the process and, where larger, of its largest child (the
official packager starts zstd). Prints a table and writes results/package.json.
"""

import argparse
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from kit.measure import measure, run_apart, write_results

N_GENES = 18_080
OURS = """
import sys
from pathlib import Path
from vccapp.seasons.base import SEASONS
from vccapp.submission.package import write_vcc
write_vcc(Path(sys.argv[1]), Path(sys.argv[2]), SEASONS["vcc2025"])
"""
CHECKED = """
import sys
from pathlib import Path
from vccapp.seasons.base import SEASONS
from vccapp.submission.check import run_checks
from vccapp.submission.package import write_vcc
season = SEASONS["vcc2025"]
run_checks(Path(sys.argv[1]), season, genes=Path(sys.argv[3]).read_text().split())
write_vcc(Path(sys.argv[1]), Path(sys.argv[2]), season)
"""


def write_prediction(path: Path, n_cells: int, n_genes: int, n_values: int) -> None:
    """Log-normalised Poisson counts, about `n_values` non-zero a cell; a third controls, 50 perturbations."""
    import numpy as np
    from scipy.sparse import csr_matrix

    from vccapp.data.h5ad import CsrWriter

    rng = np.random.default_rng(0)
    levels = rng.lognormal(0, 2, n_genes)
    low, high = 1e-8, 1e4
    while high / low > 1.001:  # the depth at which the expected number of detected genes is n_values
        depth = (low * high) ** 0.5
        low, high = (depth, high) if (1 - np.exp(-levels * depth)).sum() < n_values else (low, depth)
    labels = ["non-targeting"] * (n_cells // 3)
    labels += [f"G{i % 50}" for i in range(n_cells - len(labels))]
    with CsrWriter(path, genes=[f"G{i}" for i in range(n_genes)], pert_col="target_gene") as writer:
        for label in dict.fromkeys(labels):
            for n in np.diff([*range(0, labels.count(label), 200), labels.count(label)]):
                counts = csr_matrix(rng.poisson(levels * depth, (n, n_genes)).astype(np.float32))
                writer.append((counts / counts.mean()).log1p().minimum(14).tocsr(), label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--values", type=int, default=1_500)
    parser.add_argument("--repeats", type=int, default=2)
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        h5ad, genes = folder / "pred.h5ad", folder / "genes.csv"
        run_apart(write_prediction, h5ad, choice.cells, N_GENES, choice.values)
        genes.write_text("".join(f"G{i}\n" for i in range(N_GENES)))
        prep = [str(Path(sys.executable).with_name("cell-eval")), "prep", "-i", str(h5ad), "-g", str(genes), "-o"]
        commands = {
            "ours": lambda out: [sys.executable, "-c", OURS, str(h5ad), out],
            "ours with checks": lambda out: [sys.executable, "-c", CHECKED, str(h5ad), out, str(genes)],
            "cell-eval prep": lambda out: [*prep, out],
        }
        runs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in commands}
        for _ in range(choice.repeats):
            for name, command in commands.items():
                out = folder / "out.vcc"
                found = measure(command(str(out)))
                if "failed" in found:
                    sys.exit(f"{name} failed: {found['failed']}")
                runs[name].append((found["process_seconds"], found["peak_bytes"], out.stat().st_size))
                out.unlink()
        result = {
            "cells": choice.cells,
            "genes": N_GENES,
            "h5ad_bytes": h5ad.stat().st_size,
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "versions": {name: version(name) for name in ("vccapp", "cell-eval", "zstandard", "h5py", "anndata")},
            "repeats": choice.repeats,
            "best": {
                name: {
                    "seconds": round(min(r[0] for r in found), 2),
                    "peak_bytes": int(max(r[1] for r in found)),
                    "vcc_bytes": found[0][2],
                }
                for name, found in runs.items()
            },
        }
    best, official = result["best"], result["best"]["cell-eval prep"]
    print(f"{choice.cells:,} x {N_GENES:,}, h5ad {result['h5ad_bytes'] / 1e6:,.0f} MB, best of {choice.repeats}")
    print(f"{'':18}{'time':>9}{'memory':>10}{'vcc':>10}{'speed-up':>10}{'memory of official':>20}")
    for name, row in best.items():
        row["times_faster"] = round(official["seconds"] / row["seconds"], 2)
        row["share_of_memory"] = round(row["peak_bytes"] / official["peak_bytes"], 3)
        sizes = f"{row['peak_bytes'] / 1e9:>7.2f} GB{row['vcc_bytes'] / 1e6:>7.1f} MB"
        print(f"{name:18}{row['seconds']:>7.1f} s{sizes}{row['times_faster']:>10}{row['share_of_memory']:>20.1%}")
    write_results("package", result)


if __name__ == "__main__":
    main()
