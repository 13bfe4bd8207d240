"""Scoring predicted cells against real ones, from files: us and the official scorers, in turn.

    python benchmarks/score.py [--perturbations 50] [--cells 200] [--controls 5000] [--umis 20000] [--cache FOLDER]

Whole processes, as a user starts them, imports and what the official scorers compile each time included; ours finds
its compiled code in the cache, as it does from the second time on. 2025: log1p values, `cell-eval run --profile vcc`.
2026: counts, `cell-eval2 run --preset vcc2026`. Both write their scores, of which the largest difference is told.
Prints a table and writes results/score.json.
"""

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from kit.measure import describe, measure, pick_best, print_table, run_apart, write_results

PACKAGES = ("vccapp", "numpy", "numba", "cell-eval", "cell-eval2", "pdex", "polars")
COLUMNS = {
    "process_seconds": "time",
    "cpu_seconds": "cpu",
    "times_ours": "times ours",
    "peak_bytes": "peak memory",
    "times_our_memory": "times our memory",
}
TARGET = "target_gene"
TURNS = ("ours", "official", "ours")
CELL_EVAL_NAMES = {"overlap_at_N": "des", "discrimination_score_l1": "pds", "mae": "mae"}
CELL_EVAL2_NAMES = {
    "pds_cosine": "pds_cosine",
    "de_wilcoxon_direction_fidelity_yield_raw": "direction_fidelity",
    "de_wilcoxon_direction_reach_raw": "direction_reach",
    "de_wilcoxon_sig_jaccard": "jaccard",
    "de_wilcoxon_lfc_nmae": "lfc_nmae",
}


def ours(real: Path, predicted: Path, season: str, out: Path) -> list[str]:
    words = ["vccapp", "eval", "metrics", str(real), str(predicted)]
    return [sys.executable, "-m", *words, "--season", season, "--output", str(out / "ours.csv")]


def cell_eval(real: Path, predicted: Path, out: Path) -> list[str]:
    words = [_script("cell-eval"), "run", "-ar", str(real), "-ap", str(predicted), "--profile", "vcc", "--pert-col"]
    return [*words, TARGET, "-o", str(out / "official"), "--num-threads", str(os.cpu_count())]


def cell_eval2(real: Path, predicted: Path, out: Path) -> list[str]:
    words = [_script("cell-eval2"), "run", "-ar", str(real), "-ap", str(predicted), "--preset", "vcc2026"]
    return [*words, "--pert-col", TARGET, "-o", str(out / "official")]


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def read_official(folder: Path, season: str) -> dict[tuple[str, str], float]:
    """(perturbation, our name of the metric) -> value; what is missing or NaN is left out."""
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    if season == "2025":
        found = [(row["perturbation"], CELL_EVAL_NAMES[name], row[name]) for row in rows for name in CELL_EVAL_NAMES]
    else:
        known = [row for row in rows if row["metric"] in CELL_EVAL2_NAMES]
        found = [(row["perturbation"], CELL_EVAL2_NAMES[row["metric"]], row["value"]) for row in known]
    return {(label, name): float(value) for label, name, value in found if value not in ("", "NaN")}


def compare(folder: Path, season: str) -> dict[str, Any]:
    """Largest difference of each metric over perturbations, and how many values were compared."""
    with (folder / "ours.csv").open() as file:
        mine = {row["perturbation"]: row for row in csv.DictReader(file)}
    official = read_official(folder / "official", season)
    differences: dict[str, float] = {}
    for (label, name), value in official.items():
        differences[name] = max(differences.get(name, 0.0), abs(float(mine[label][name]) - value))
    return {"compared": len(official), "largest": differences}


def make_pair(choice: argparse.Namespace) -> Path:
    """A folder with real and predicted cells, `counts_*.h5ad` and `logs_*.h5ad`; made once."""
    folder = choice.cache / f"score_{choice.perturbations}_{choice.cells}_{choice.controls}_{choice.umis}"
    if not (folder / "done").exists():
        print(f"simulating {folder} ...", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        run_apart(_simulate, folder, choice.perturbations, choice.cells, choice.controls, choice.umis)
        (folder / "done").touch()
    return folder


def _simulate(folder: Path, n_perturbations: int, n_cells: int, n_controls: int, umis: float) -> None:
    """One experiment of twice the cells, of which each side gets every other one."""
    import anndata as ad
    import numpy as np
    import scanpy as sc

    from vccapp.data.simulation.experiment import SimulationSpec
    from vccapp.data.simulation.simulate import simulate

    common = {"n_genes": 18_080, "median_umis": umis, "n_guides": 1}
    total = 2 * (n_controls + n_perturbations * n_cells)
    fraction = n_controls / (n_controls + n_perturbations * n_cells)
    spec = SimulationSpec(n_cells=total, n_perturbations=n_perturbations, control_fraction=fraction, **common)
    simulate(spec, folder / "all.h5ad")
    cells = ad.read_h5ad(folder / "all.h5ad")
    (folder / "all.h5ad").unlink()
    shutil.rmtree(folder / "all.truth")
    order = np.argsort(cells.obs[TARGET].astype(str), kind="stable")
    for number, side in enumerate(("real", "predicted")):
        part = cells[np.sort(order[number::2])].copy()
        part = ad.AnnData(part.X.astype(np.float32), obs=part.obs[[TARGET]], var=part.var[[]])
        part.write_h5ad(folder / f"counts_{side}.h5ad")
        sc.pp.normalize_total(part)
        sc.pp.log1p(part)
        part.uns.clear()
        part.write_h5ad(folder / f"logs_{side}.h5ad")


def run_season(season: str, data: Path, scratch: Path) -> dict[str, Any]:
    """The quickest runs of ours and of the official scorer, their ratio, and differences of scores."""
    kind = "logs" if season == "2025" else "counts"
    pair = data / f"{kind}_real.h5ad", data / f"{kind}_predicted.h5ad"
    official = cell_eval if season == "2025" else cell_eval2
    words = {"ours": ours(*pair, season, scratch), "official": official(*pair, scratch)}
    runs: dict[str, list[dict[str, Any]]] = {}
    for name in TURNS:
        print(f"  {season}, {name} ...", file=sys.stderr, flush=True)
        found = measure(words[name])
        found["seconds"] = found["process_seconds"]
        found.pop("printed", None)
        runs.setdefault(name, []).append(found)
    best = pick_best(runs, reference="ours")
    for row in best.values():
        row["times_ours"] = row["process_seconds"] / best["ours"]["process_seconds"]
        row["times_our_memory"] = row["peak_bytes"] / best["ours"]["peak_bytes"]
    differences = {} if "failed" in best["official"] else compare(scratch, season)
    return {"best": best, "differences": differences, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--perturbations", type=int, default=50)
    parser.add_argument("--cells", type=int, default=200, help="of each perturbation")
    parser.add_argument("--controls", type=int, default=5000)
    parser.add_argument("--umis", type=int, default=20_000, help="median of a cell")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "vccapp-benchmarks")
    parser.set_defaults(like_tables=None)
    choice = parser.parse_args()
    data = make_pair(choice)
    result = describe(choice, data / "counts_real.h5ad", PACKAGES)
    seasons: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=choice.cache) as name:
        for season in ("2025", "2026"):
            scratch = Path(name) / season
            scratch.mkdir()
            seasons[season] = run_season(season, data, scratch)
            print(f"{season}, {choice.perturbations} x {choice.cells} + {choice.controls} cells a side")
            print_table(seasons[season]["best"], COLUMNS)
            print(f"differences of scores: {json.dumps(seasons[season]['differences'])}")
    write_results("score", result | {"seasons": seasons})


if __name__ == "__main__":
    main()
