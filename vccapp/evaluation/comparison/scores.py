"""Every metric of every perturbation, between floors and limits; the best and the worst predicted."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.evaluation.comparison.agreement import compare_predictions
from vccapp.evaluation.comparison.compare import COLUMNS
from vccapp.evaluation.comparison.comparison import Comparison
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.evaluation.limits import is_told, standard_error
from vccapp.evaluation.metrics import METRICS
from vccapp.evaluation.scoring.score import list_pseudobulk_metrics
from vccapp.references import FLOORS, FULL_NAMES, LIMITS, NAMES, PERFECT, REPEAT

ENDS, PANEL_GENES = 4, 120
"""Perturbations at either end of the gallery, and genes of each: those of the largest real |delta|."""


@dataclass(frozen=True)
class ScoresView:
    """means : source and the mean of every metric. by_source : source, kind, perturbation, n_degs, one metric.

    by_perturbation : all metrics of one prediction, the best perturbation first, with `<metric> baseline`, `<metric>
    repeat` and `<metric> perfect`, and of a run its `confidence`. notes : which limits cannot be told, and why
    """

    means: pd.DataFrame
    by_source: pd.DataFrame
    by_perturbation: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """values : source, perturbation, gene, control, real, predicted, real_delta, predicted_delta, panel."""

    values: pd.DataFrame


def view_scores(comparison: Comparison, shown: Prediction, *, metric: str) -> ScoresView:
    """Of all that is compared, and of `shown` by perturbation."""
    by_source = compute_metric_scores(comparison, metric)
    order = _rank(by_source, shown, metric)["perturbation"]
    table = comparison.scores(shown.key).set_index("perturbation").loc[order].reset_index()
    known = by_source.set_index("perturbation")
    beside = {"baseline": comparison.floor.name} | {NAMES[limit]: FULL_NAMES[limit] for limit in (REPEAT, PERFECT)}
    for place, (name, source) in enumerate(beside.items(), start=2):
        values = known.loc[known["source"] == source, metric].reindex(order).to_numpy()
        table.insert(place, f"{metric} {name}", values)
    if shown.confidence:
        table.insert(2, "confidence", pd.Series(shown.confidence, dtype=float).reindex(order).to_numpy())
    return ScoresView(compute_mean_scores(comparison), by_source, table, explain_untold(comparison, metric))


def view_gallery(comparison: Comparison, shown: Prediction, *, metric: str) -> Gallery:
    """The perturbations that `shown` predicts best and worst; no rows where none has the metric."""
    scores = comparison.scores(shown.key, metric)[["perturbation", metric]].assign(source=shown.name)
    ranked = _rank(scores, shown, metric).dropna(subset=metric)
    ends = ranked if len(ranked) <= 2 * ENDS else pd.concat([ranked.head(ENDS), ranked.tail(ENDS)])
    frames = []
    for label, value in zip(ends["perturbation"], ends[metric], strict=True):
        strongest = np.argsort(-np.abs(comparison.index.delta(label)), kind="stable")[:PANEL_GENES]
        genes = comparison.index.genes["gene"].to_numpy()[strongest].tolist()
        frame = compare_predictions(comparison.index, [shown], perturbations=[label], genes=genes)
        frames.append(frame.assign(panel=f"{label}  {value:.3g}"))
    if not frames:
        return Gallery(pd.DataFrame(columns=["source", *COLUMNS, "panel"]))
    return Gallery(pd.concat(frames, ignore_index=True))


def compute_metric_scores(comparison: Comparison, metric: str) -> pd.DataFrame:
    """source, kind, perturbation, n_degs and one metric: of the runs, the baselines and the limits that are told."""
    sources = [(own.key, own.name, own.kind) for own in comparison.predictions]
    limits = [(limit, FULL_NAMES[limit], limit) for limit in _told(comparison, metric)]
    frames = [
        comparison.scores(key, metric)[["perturbation", "n_degs", metric]].assign(source=name, kind=kind)
        for key, name, kind in (*sources, *limits)
    ]
    return pd.concat(frames, ignore_index=True)


def explain_untold(comparison: Comparison, metric: str) -> tuple[str, ...]:
    """Why a limit of a metric is not shown, in a sentence; none where both are."""
    missing = [NAMES[limit] for limit in (REPEAT, PERFECT) if limit not in _told(comparison, metric)]
    if not missing:
        return ()
    text = f"{' and '.join(missing).capitalize()} cannot be told for {METRICS[metric].label}"
    return (f"{text}: the halves of the cells agree so little that it would lie below the baseline.",)


def _told(comparison: Comparison, metric: str) -> list[str]:
    """The limits that are not worse than the floor."""
    keys = (comparison.floor.key, REPEAT, PERFECT)
    means = {key: {metric: _mean(comparison.scores(key, metric)[metric])} for key in keys}
    means[FLOORS[-1]] = means.pop(comparison.floor.key)
    return [limit for limit in (REPEAT, PERFECT) if is_told(means, metric, limit)]


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None


def compute_mean_scores(comparison: Comparison) -> pd.DataFrame:
    """source and the mean of every metric: as stored with the runs, where all perturbations of their part are compared.

    None elsewhere: PDS and the like depend on how many are compared. Below each limit stands its standard error.
    """
    names = {own.key: own.name for own in comparison.predictions} | {own: FULL_NAMES[own] for own in (REPEAT, PERFECT)}
    rows = []
    for key, name in names.items():
        means = dict(comparison.stored_means.get(key, {}))
        rows.append({"source": name} | means)
        if key in LIMITS and means:
            table = comparison.scores(key)
            told = [metric for metric, value in means.items() if value is not None and metric in table]
            errors: dict[str, str | float | None] = {metric: standard_error(table[metric]) for metric in told}
            rows.append(errors | {"source": f"{NAMES[key]}: standard error"})
    return pd.DataFrame(rows, columns=["source", *list_pseudobulk_metrics()])


def _rank(scores: pd.DataFrame, shown: Prediction, metric: str) -> pd.DataFrame:
    """The rows of one prediction, the best first."""
    own = scores[scores["source"] == shown.name]
    return own.sort_values(metric, ascending=METRICS[metric].best == "low")
