"""docs/results.md, written from results/accuracy.json: means, and what differs from the floor by more than chance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from kit.measure import RESULTS
from kit.sureness import explain_confidence

from vccapp.evaluation.leaderboard.significance import compare_groups
from vccapp.evaluation.limits import standard_error
from vccapp.evaluation.metrics import METRICS
from vccapp.references import LIMITS

FLOORS, RIDGE = ("knock-down mean", "perturbation mean"), "kernel ridge"
COLUMNS = {"des": "DES", "pds": "PDS", "mae": "MAE", "pearson_delta": "r", "r_deviation": "r beyond the mean"}
LOW_IS_BEST = {name for name in COLUMNS if name in METRICS and METRICS[name].best == "low"}
LEVEL = 0.05
DOCUMENT = RESULTS.parents[1] / "docs" / "results.md"
HEAD = """# Results

How well each model predicts perturbations that it has not seen. This page is written by `benchmarks/accuracy.py` from
`benchmarks/results/accuracy.json`; what the models are stands in [models.md](models.md), what the scores are in
[scores.md](scores.md).

Each perturbation is predicted once, by the fit of the fold that tests it: of five folds three train, one validates,
one is tested. All perturbations of a data set are then scored together, so PDS ranks among all of them. `r` is the
Pearson correlation of deltas; *r beyond the mean* the same after the mean effect of the training perturbations is
taken off (the control mean has one where effects are smaller than their mean). Figures are means over perturbations ±
their standard error. DES is of cells, the others are of pseudobulks.

The floor is the perturbation mean with the knock-down of the target, or without it where the data show none: it knows
nothing of the target but that it is silenced. A model counts as above or below it where a paired permutation test
over all perturbations says so at p < 0.05, corrected for the number of models of the table (Holm). `Scouter,
original` and `STATE, original` are the programs of their authors (scouter-learn 0.1.10 with its defaults and lambda
0.05, arc-state 0.11.1), trained on the same folds, cells and gene vectors; STATE, theirs and ours, is 256 wide and
takes 600 steps of 8 sets of 32 cells at a learning rate of 3e-4. A model that a table lacks, and that is not named
below it, was not run on that set yet.
"""


def write_report(results: Mapping[str, Any]) -> None:
    """results : as results/accuracy.json holds them."""
    DOCUMENT.write_text(make_report(results))


def make_report(results: Mapping[str, Any]) -> str:
    parts = [HEAD, "## In short\n"]
    parts += [_say(case) for case in results["cases"]]
    parts += [explain_confidence(results["cases"])]
    parts += [_show(case) for case in results["cases"]]
    return "\n".join(parts)


def scores_of(case: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """(perturbations, models) of a metric, NaN where it is not defined."""
    found = {name: own[metric] for name, own in case["scores"].items() if metric in own}
    return pd.DataFrame(found, index=case["labels"], dtype=float)


def floor_of(case: Mapping[str, Any]) -> str:
    """The mean with knock-down or, where no fold could learn that, without it."""
    return next(name for name in FLOORS if name in case["scores"])


def compare(case: Mapping[str, Any], metric: str, reference: str) -> pd.DataFrame:
    """`compare_groups` of the models of a case, by model."""
    scores = scores_of(case, metric).drop(columns=[*LIMITS], errors="ignore").dropna(axis=1, how="all")
    return compare_groups(scores, reference).set_index("group")


def _say(case: Mapping[str, Any]) -> str:
    """What is above and below the floor, metric by metric."""
    n, floor = len(case["labels"]), floor_of(case)
    lines = [f"**{case['case']}**, {n} perturbations, {case['train']} in training, floor: {floor}\n"]
    if 2 / 2**n > LEVEL:
        return "\n".join([*lines, f"- With {n} perturbations no difference can be told from chance.", ""])
    for metric, name in COLUMNS.items():
        found = compare(case, metric, floor)
        better = found["difference"] * (-1 if metric in LOW_IS_BEST else 1)
        sure = found["p_holm"] < LEVEL
        above, below = found[sure & (better > 0)], found[sure & (better < 0)]
        said = f"above the floor: {_list(above)}" if len(above) else "nothing is above the floor"
        lines.append(f"- {name}: {said}" + (f"; below it: {_list(below)}" if len(below) else "") + ".")
    return "\n".join(lines) + "\n"


def _list(found: pd.DataFrame) -> str:
    best = found.reindex(found["difference"].abs().sort_values(ascending=False).index)
    return ", ".join(f"{name} ({row['difference']:+.3f})" for name, row in best.iterrows())


def _show(case: Mapping[str, Any]) -> str:
    heads = [f"{name} (low is best)" if metric in LOW_IS_BEST else name for metric, name in COLUMNS.items()]
    lines = [f"## {case['case']}\n", f"| model | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for model, own in case["scores"].items():
        cells = [_cell(pd.Series(own[metric], dtype=float)) if metric in own else "" for metric in COLUMNS]
        lines.append(f"| {'*' * (model in LIMITS)}{model}{'*' * (model in LIMITS)} | {' | '.join(cells)} |")
    lines += [f"\nNot there: {name}. {why}" for name, why in case["skipped"].items()]
    for reference in (floor_of(case), RIDGE):
        if reference not in case["scores"]:
            continue
        lines += [f"\nDifference from the {reference}, and p before correction:\n", lines[1], lines[2]]
        found = {metric: compare(case, metric, reference) for metric in COLUMNS}
        for model in [name for name in case["scores"] if name not in (*LIMITS, reference)]:
            cells = [
                _difference(found[metric].loc[model]) if model in found[metric].index else "" for metric in COLUMNS
            ]
            lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: pd.Series) -> str:
    return "" if values.isna().all() else f"{values.mean():.3f} ± {standard_error(values):.3f}"


def _difference(row: pd.Series) -> str:
    if np.isnan(row["difference"]):
        return ""
    told = "p < .001" if row["p"] < 0.001 else f"p = {row['p']:.3f}".replace("0.", ".")
    return f"{row['difference']:+.3f} ({told})"
