"""What each model did in our measurements, as the small table that the app ships.

    python tools/build_measured.py        # benchmarks/results/accuracy.json -> assets/measured.csv

A row is a model on a data set: over splits (seeds), the mean and standard error of each score, and of its difference
from the perturbation mean on the same splits. Run it after benchmarks/accuracy.py.
"""

import csv
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "accuracy.json"
TABLE = ROOT / "assets" / "measured.csv"
MODELS = {
    "control mean": "control_mean",
    "perturbation mean": "perturbation_mean",
    "knock-down mean": "knockdown_mean",
    "additive": "additive",
    "bilinear": "bilinear",
    "kernel ridge": "ridge",
    "nearest genes": "knn",
    "transfer": "transfer",
    "ensemble": "ensemble",
    "Scouter": "scouter",
    "STATE": "state",
}
"""Contenders of benchmarks/accuracy.py that are a model with its defaults (STATE: fewer and smaller steps)."""
BASELINE = "perturbation mean"
METRICS = ("des", "pds", "mae", "pearson_delta", "r_deviation")
SIMULATED = "Simulated"


def build_table(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, by data set and then as in MODELS; a score is empty where a split has none.

    Splits from which a model could not learn have no scores; splits tells how many have.
    """
    learnt = [r for r in records if "mae" in r]
    by_place = {(r["case"], r["model"], r["seed"]): r for r in learnt}
    rows = []
    for case, contender in itertools.product(dict.fromkeys(r["case"] for r in learnt), MODELS):
        own = [r for r in learnt if (r["case"], r["model"]) == (case, contender)]
        if not own:
            continue
        row = {
            "data": case,
            "simulated": int(case.startswith(SIMULATED)),
            "model": MODELS[contender],
            "splits": len(own),
            "train": own[0]["train"],
            "test": own[0]["test"],
        }
        for metric in METRICS:
            row[metric], row[f"{metric}_se"] = _summarise(r[metric] for r in own)
            gains = (r[metric] - by_place[case, BASELINE, r["seed"]][metric] for r in own)
            row[f"{metric}_gain"], row[f"{metric}_gain_se"] = _summarise(gains)
        rows.append(row)
    return rows


def _summarise(values: Iterable[float]) -> tuple[float | str, float | str]:
    """Mean and standard error; empty where one is not known."""
    known = list(values)
    if any(math.isnan(value) for value in known):
        return "", ""
    return round(mean(known), 5), round(stdev(known) / math.sqrt(len(known)), 5)


def main() -> None:
    rows = build_table(json.loads(RESULTS.read_text())["records"])
    with TABLE.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
