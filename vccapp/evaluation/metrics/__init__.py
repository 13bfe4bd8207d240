"""Every metric, found by name: one family a file. See base.py for what a metric is."""

from vccapp.evaluation.metrics.base import METRICS, Metric

__all__ = ["METRICS", "Metric"]
