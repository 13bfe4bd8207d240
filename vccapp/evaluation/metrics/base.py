"""What a metric is, and the registry that finds them.

    METRICS["mae"].compute(real, predicted)      # (n,) float64, a value a perturbation, NaN where it is undefined

To add one, write a function (real, predicted) -> (n,) in a file of this package, under `@metric(...)`; a family that
shares its source or its season is `functools.partial` of that.
These are our own computations; numbers to be called official come from the official scorers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vccapp.evaluation.profiles import Profiles
from vccapp.registry import Registry
from vccapp.seasons.base import MetricRules

METRICS = Registry["Metric"]("metric", package="vccapp.evaluation.metrics")

Compute = Callable[[Profiles, Profiles], np.ndarray]
Needs = Literal["means", "t_score", "de", "pooled", "cells"]


@dataclass(frozen=True)
class Metric:
    """A score of predicted against real perturbations.

    label : for headings; unit : "" where there is none; best : which end is good; range : from, to, as text
    source : where the definition stands; season : whose rules score it, or ""
    official : what that season's official scorer calls it
    needs : what both profiles must hold (t_score: the real one)
    compute : (real, predicted) -> (n,) float64 in the order of `labels`, NaN where undefined
    """

    name: str
    label: str
    unit: str
    best: Literal["high", "low"]
    range: str
    source: str
    needs: Needs
    season: MetricRules | Literal[""]
    official: str
    compute: Compute

    def is_known(self, real: Profiles, predicted: Profiles) -> bool:
        """Whether both profiles hold what this metric needs."""
        needed = (real,) if self.needs == "t_score" else (real, predicted)
        return all(getattr(profiles, self.needs) is not None for profiles in needed)


def metric(
    name: str,
    *,
    label: str,
    best: Literal["high", "low"],
    range: str,  # noqa: A002 - the word of a metric's record
    source: str,
    unit: str = "",
    needs: Needs = "means",
    season: MetricRules | Literal[""] = "",
    official: str = "",
) -> Callable[[Compute], Compute]:
    """Register the function below as the metric `name`. official : its name there, said after the source."""
    cited = f"{source}, {official}" if official else source

    def keep(compute: Compute) -> Compute:
        METRICS.register(name)(Metric(name, label, unit, best, range, cited, needs, season, official, compute))
        return compute

    return keep
