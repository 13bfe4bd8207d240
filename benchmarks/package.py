"""Our checks and packager against the official ones (`cell-eval prep`, `vcc prep`) on one simulated prediction of each.

    python benchmarks/package.py [--cells 100000] [--values 1470] [--repeats 2] [--season vcc2025 vcc2026]

vcc2025: log1p values of 18,080 genes, 50 perturbations, a third controls. vcc2026: counts of 18,533 genes, --cells in
three contexts of 400 cells a target; its official packager is `vcc` of vcc-cli, on the PATH or at VCCAPP_VCC.

All get the same h5ad and write to one disk, in turn, each in a process of its own, with imports; the file is dropped
from the page cache before. Peak memory is that of the process and, where larger, of its largest child (cell-eval starts
zstd). "reading" is every value and gene of the file read once, by our reader and by anndata. Prints a table and writes
results/package.json.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.measure import describe_machine, forget, measure, run_apart, write_results

N_GENES = {"vcc2025": 18_080, "vcc2026": 18_533}
CONTEXTS = ("A", "B", "C")
EACH = 400
POOL = 4_000
PEERS = {"vcc2025": "cell-eval prep", "vcc2026": "vcc prep"}

PREPARE = """
import sys
from pathlib import Path
from vccapp.seasons.base import SEASONS, Phase, Season, Target
h5ad, out, genes, targets = (Path(word) for word in sys.argv[1:5])
base, genes = SEASONS[sys.argv[5]], genes.read_text().split()
labels, contexts = targets.read_text().split()[1:], base.phases[0].contexts
phase = Phase(name="part", label="Part", contexts=contexts, targets=tuple(Target(label=label) for label in labels))
season = Season(**{name: getattr(base, name) for name in Season.model_fields} | {"gene_file": None, "phases": (phase,)})
"""
RUNS = {
    "reading": "from vccapp.submission.h5ad import open_cells\n"
    "for _ in open_cells(h5ad, season.pert_col, season.context_col).blocks(): pass",
    "reading (anndata)": "import anndata\nanndata.read_h5ad(h5ad)",
    "checks": "from vccapp.submission.check import refuse, run_checks\nrefuse(run_checks(h5ad, season, genes=genes))",
    "packaging": "from vccapp.submission.packing.package import write_vcc\n"
    "from vccapp.submission.packing.slim import slimmed\n"
    "with slimmed(h5ad, out.parent, season) as ready: write_vcc(ready, out, season)",
    "checks and packaging": "from vccapp.submission.build import package_file\n"
    "package_file(h5ad, out, season, genes=genes)",
}


def write_prediction(path: Path, season: str, n_cells: int, n_values: int) -> None:
    """About `n_values` non-zero a cell: cells of a pool of Poisson counts, each thinned or scaled anew."""
    import numpy as np
    from scipy.sparse import csr_matrix, vstack

    from vccapp.data.h5ad import CsrWriter

    rng, n_genes = np.random.default_rng(0), N_GENES[season]
    levels = rng.lognormal(0, 2, n_genes)
    low, high = 1e-8, 1e4
    while high / low > 1.001:  # the depth at which the expected number of detected genes is n_values
        depth = (low * high) ** 0.5
        low, high = (depth, high) if (1 - np.exp(-levels * depth)).sum() < n_values else (low, depth)
    parts = [csr_matrix(rng.poisson(levels * depth, (200, n_genes)).astype(np.float32)) for _ in range(POOL // 200)]
    pool = vstack(parts, format="csr")

    def draw(n: int) -> csr_matrix:
        block = pool[rng.integers(0, POOL, n)]
        if season == "vcc2026":
            block.data += rng.binomial(3, 0.1, block.nnz)
            return block
        totals = np.asarray(block.sum(axis=1)).ravel() * rng.lognormal(0, 0.05, n)
        block.data = np.log1p(block.data / np.repeat(totals / np.median(totals), np.diff(block.indptr)), dtype="f4")
        return block

    context_col = "context" if season == "vcc2026" else None
    with CsrWriter(
        path, genes=[f"G{i}" for i in range(n_genes)], pert_col="target_gene", context_col=context_col
    ) as writer:
        for labels, n in _groups(season, n_cells):
            for start in range(0, n, EACH):
                writer.append(draw(min(EACH, n - start)), *labels)


def _groups(season: str, n_cells: int) -> list[tuple[tuple[str, ...], int]]:
    """What each group of cells is called, and its size."""
    if season == "vcc2026":
        n_targets = n_cells // (EACH * len(CONTEXTS))
        return [((f"G{i}", context), EACH) for context in CONTEXTS for i in range(n_targets)]
    each = n_cells * 2 // 3 // 50
    return [(("non-targeting",), n_cells - 50 * each), *(((f"G{i}",), each) for i in range(50))]


def official(season: str, files: Mapping[str, str]) -> list[str] | None:
    """The official packager's command; None where it is not installed."""
    if season == "vcc2025":
        command = str(Path(sys.executable).with_name("cell-eval"))
        return [command, "prep", "-i", files["h5ad"], "-g", files["genes"], "-o", files["out"]]
    command = os.environ.get("VCCAPP_VCC") or shutil.which("vcc")
    if command is None:
        return None
    words = ["--perts", files["targets"], "--contexts", ",".join(CONTEXTS), "-o", files["out"], "-f", "--json"]
    return [command, "prep", files["h5ad"], "-g", files["genes"], *words]


def compare(season: str, n_cells: int, n_values: int, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {key: str(folder / end) for key, end in {"h5ad": "pred.h5ad", "out": "out.vcc"}.items()}
        files |= {"genes": str(folder / "genes.csv"), "targets": str(folder / "targets.csv")}
        run_apart(write_prediction, Path(files["h5ad"]), season, n_cells, n_values)
        groups = _groups(season, n_cells)
        Path(files["genes"]).write_text("".join(f"G{i}\n" for i in range(N_GENES[season])))
        labels = dict.fromkeys(labels[0] for labels, _ in groups if labels[0] != "non-targeting")
        Path(files["targets"]).write_text("\n".join(["target_gene", *labels]) + "\n")
        arguments = [files[key] for key in ("h5ad", "out", "genes", "targets")]
        commands = {run: [sys.executable, "-c", f"{PREPARE}\n{code}", *arguments, season] for run, code in RUNS.items()}
        if (peer := official(season, files)) is not None:
            commands[PEERS[season]] = peer
        runs: dict[str, list[dict[str, Any]]] = {run: [] for run in commands}
        for _ in range(repeats):
            for run, command in commands.items():
                forget(Path(files["h5ad"]))
                found, out = measure(command), Path(files["out"])
                if "failed" in found:
                    sys.exit(f"{run} failed: {found['failed']}")
                found["vcc_bytes"] = out.stat().st_size if out.exists() else 0
                out.unlink(missing_ok=True)
                runs[run].append(found)
                print(f"  {season} {run}: {found['process_seconds']:.1f} s", file=sys.stderr, flush=True)
        return {
            "cells": sum(n for _, n in groups),
            "genes": N_GENES[season],
            "h5ad_bytes": Path(files["h5ad"]).stat().st_size,
            "repeats": repeats,
            "best": {run: _best(found) for run, found in runs.items()},
        }


def _best(found: list[dict[str, Any]]) -> dict[str, Any]:
    quickest = min(found, key=lambda run: run["process_seconds"])
    return {
        "seconds": round(quickest["process_seconds"], 2),
        "cpu_seconds": round(quickest["cpu_seconds"], 2),
        "peak_bytes": max(run["peak_bytes"] for run in found),
        "vcc_bytes": quickest["vcc_bytes"],
        "load_after": round(quickest["load_after"], 1),
    }


def show(season: str, result: dict[str, Any]) -> None:
    about = f"{result['cells']:,} x {result['genes']:,}, h5ad {result['h5ad_bytes'] / 1e6:,.0f} MB"
    print(f"{season}: {about}, best of {result['repeats']}")
    print(f"{'':22}{'time':>9}{'CPU':>9}{'memory':>10}{'vcc':>11}{'of official time':>18}{'of official memory':>20}")
    peer = result["best"].get(PEERS[season])
    for run, row in result["best"].items():
        line = f"{run:22}{row['seconds']:>7.1f} s{row['cpu_seconds']:>7.1f} s{row['peak_bytes'] / 1e9:>7.2f} GB"
        line += f"{row['vcc_bytes'] / 1e6:>8.1f} MB" if row["vcc_bytes"] else f"{'':11}"
        if peer is not None:
            line += f"{row['seconds'] / peer['seconds']:>18.2f}{row['peak_bytes'] / peer['peak_bytes']:>20.1%}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--values", type=int, default=1_470)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--season", nargs="+", choices=list(PEERS), default=list(PEERS))
    choice = parser.parse_args()
    results = {season: compare(season, choice.cells, choice.values, choice.repeats) for season in choice.season}
    for season, result in results.items():
        show(season, result)
    packages = ("vccapp", "cell-eval", "zstandard", "h5py", "anndata", "scanpy")
    write_results("package", describe_machine(packages) | results)


if __name__ == "__main__":
    main()
