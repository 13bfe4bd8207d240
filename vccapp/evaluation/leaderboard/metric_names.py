"""What the columns of scores are: our metrics by name, those of the official scorers by their name there."""

from vccapp.evaluation.metrics import METRICS, Metric
from vccapp.evaluation.scorers.base import AVERAGE

OVERALL = "overall"
"""The same on a challenge's leaderboard."""
PANEL_RANKS = ("pds", "pds_cosine", "pds_cosine_means", "discrimination_score_l1")
"""Metrics that rank a perturbation among all of the panel: nothing without their n."""


def find_metric(column: str) -> Metric | None:
    """Our metric of this name, or the one made after the official metric of this name; None for any other."""
    known = dict(METRICS.items())
    return known.get(column) or next((m for m in known.values() if m.season and official_name(m.name) == column), None)


def official_name(name: str) -> str:
    """What the official scorer of its season calls a metric of ours."""
    return AVERAGE if name == OVERALL else METRICS[name].official


def label_metric(column: str) -> str:
    """How a column of scores is called, with its unit; the official name stands beside where it differs."""
    metric = find_metric(column)
    if metric is None:
        return "Average" if column == AVERAGE else column.replace("_", " ")
    label = f"{metric.label} ({metric.unit})" if metric.unit else metric.label
    return label if metric.name == column else f"{label}: {column}"


def best_of(column: str, *, scaled: bool = False) -> str:
    """Which end is good, "high" or "low"; scaled scores are good when high. Official errors have mse or mae in their
    name.
    """
    metric = find_metric(column)
    if scaled:
        return "high"
    if metric is None:
        return "low" if "mse" in column or "mae" in column else "high"
    return metric.best
