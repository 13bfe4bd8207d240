"""Models judged by all perturbations: each predicted once, by a fit of the fold that holds it out.

    found = cross_validate(index, splits, {"ridge": make_model("ridge")}, metrics=("pearson_delta", "pds", "mae"))
    found.means                 # a row a model, of the floors and the limits too
    found.differences           # each against the reference, paired over all perturbations

Predictions of the folds are pooled before they are scored: PDS ranks among all perturbations and not among those
of a fold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.evaluation.leaderboard.significance import compare_groups
from vccapp.evaluation.limits import compute_limits, drop_untold, standard_error
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics, summarise
from vccapp.models.base import Model, make_model
from vccapp.progress import Progress, part, silent
from vccapp.references import FLOORS, LIMITS
from vccapp.stats.index import Index
from vccapp.training.validation import make_validation
from vccapp.wording import name_some


@dataclass(frozen=True)
class CrossValidation:
    """means : model, n, and of each metric its mean and `<metric> se`, the standard error over perturbations.

    differences : metric, model, n, difference (to the reference), low, high, p, p_holm (over the models of a metric)
    scores : model, perturbation, n_degs and the metrics
    """

    means: pd.DataFrame
    differences: pd.DataFrame
    scores: pd.DataFrame


def cross_validate(
    index: Index,
    folds: Sequence[Split],
    models: Mapping[str, Model],
    *,
    metrics: Sequence[str],
    reference: str,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
) -> CrossValidation:
    """models : unfitted, by name; the floors are added. reference : one of them all, for the differences.

    Holds (perturbations x n_genes) predictions of one model. Raises SpecError where a perturbation is tested in two
    folds, or for a reference that is none of the models.
    """
    labels = sorted(label for fold in folds for label in fold.test)
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise SpecError("tested_twice", f"Several folds test {name_some(twice)}", fix="choose folds that test others")
    chosen = dict(models) | {name: make_model(name) for name in FLOORS if name not in models}
    if reference not in chosen:
        raise SpecError("unknown_reference", f"'{reference}' is none of the models", fix=f"choose {name_some(chosen)}")
    real, tables = real_profiles(index, labels), {}
    for done, (name, model) in enumerate(chosen.items()):
        report = part(progress, done / len(chosen), (done + 1) / len(chosen))
        deltas = _predict_folds(index, folds, model, labels, seed=seed, device=device, progress=report)
        tables[name] = compute_metrics(real, predicted_profiles(index, deltas, labels), list(metrics))
    tables |= compute_limits(index, labels, metrics)
    means = drop_untold({name: summarise(table) for name, table in tables.items()})
    rows = []
    for name, table in tables.items():
        row: dict[str, object] = {"model": name, "n": len(table)}
        for metric in metrics:
            told = name not in LIMITS or means[name][metric] is not None
            row |= {metric: means[name][metric], f"{metric} se": standard_error(table[metric]) if told else None}
        rows.append(row)
    return CrossValidation(
        means=pd.DataFrame(rows),
        differences=_compare({name: tables[name] for name in chosen}, metrics, reference),
        scores=pd.concat([table.assign(model=name) for name, table in tables.items()], ignore_index=True),
    )


def _predict_folds(
    index: Index,
    folds: Sequence[Split],
    model: Model,
    labels: Sequence[str],
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> np.ndarray:
    """(labels, n_genes) float32 deltas, each by the fit of the fold that tests it."""
    row = {label: i for i, label in enumerate(labels)}
    deltas = np.empty((len(labels), len(index.genes)), np.float32)
    for number, fold in enumerate(folds):
        progress(number / len(folds), f"{model.label}, fold {number + 1} of {len(folds)}")
        fitted = type(model)(model.spec).fit(
            index, fold, seed=seed, device=device, validate=make_validation(index, fold)
        )
        deltas[[row[label] for label in fold.test]] = fitted.predict(fold.test)
    return deltas


def _compare(tables: Mapping[str, pd.DataFrame], metrics: Sequence[str], reference: str) -> pd.DataFrame:
    frames = []
    for metric in metrics:
        scores = pd.DataFrame({name: table.set_index("perturbation")[metric] for name, table in tables.items()})
        found = compare_groups(scores, reference).rename(columns={"group": "model"})
        frames.append(found.assign(metric=metric))
    columns = ["metric", "model", "n", "difference", "low", "high", "p", "p_holm"]
    return pd.concat(frames, ignore_index=True)[columns]
