"""What each model did in our measurements, as the small table that the app ships.

    python tools/build_measured.py        # benchmarks/results/accuracy.json -> assets/measured.csv

A row is a model on a data set: over all its perturbations, each predicted once, the mean and standard error of each
score, its mean difference from the floor (the mean with knock-down), and the p of that difference, corrected for the
models of the data set. Run it after benchmarks/accuracy.py.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

from kit.report import COLUMNS, compare, floor_of, scores_of  # noqa: E402

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
SIMULATED = "Simulated"


def build_table(cases: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows, by data set and then as in MODELS; a score is empty where it is not defined."""
    rows = []
    for case in cases:
        scores = {metric: scores_of(case, metric) for metric in COLUMNS}
        differences = {metric: compare(case, metric, floor_of(case)) for metric in COLUMNS}
        for contender, model in MODELS.items():
            if contender not in case["scores"]:
                continue
            row = {"data": case["case"], "simulated": int(case["case"].startswith(SIMULATED)), "model": model}
            row |= {"train": case["train"], "tested": len(case["labels"])}
            for metric in COLUMNS:
                own, found = scores[metric][contender], differences[metric]
                row |= {metric: own.mean(), f"{metric}_se": own.sem()}
                for name, column in (("gain", "difference"), ("p", "p_holm")):
                    row[f"{metric}_{name}"] = found[column].get(contender)
            rows.append(row)
    return pd.DataFrame(rows).round(5)


def main() -> None:
    build_table(json.loads(RESULTS.read_text())["cases"]).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
