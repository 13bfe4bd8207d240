"""What is compared: predictions of the same perturbations, beside the floors, the limits and the real cells.

    comparison = open_comparison(["20261121-142233-state-a1b2"], settings, part="test")
    comparison.scores(comparison.runs[0].key)

Scores of a run, of its floors and of the limits were stored when it was trained. Where others are compared, as when
runs of different splits have some perturbations in common, they are computed when they are first asked for. What was
computed is kept with the comparison.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from vccapp.errors import SpecError
from vccapp.evaluation.comparison.prediction import Prediction
from vccapp.evaluation.limits import compute_limits
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics, list_pseudobulk_metrics
from vccapp.references import LIMITS
from vccapp.stats.index import Index
from vccapp.wording import name_some

FIRST_PERTURBATIONS = 4
"""Perturbations that are looked at closely where none are named: those of the largest real effect."""

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Comparison:
    """labels : the perturbations that all runs predict in a part of their splits; runs, baselines : their predictions.

    stored : by key, and by those of LIMITS, the scores of each of `labels` that are known; see `scores`
    stored_means : likewise their means over `labels`
    read_cell_scores : of the key of a run, its scores of predicted cells; None where they were not made
    """

    index: Index
    part: str
    labels: tuple[str, ...]
    runs: tuple[Prediction, ...]
    baselines: tuple[Prediction, ...]
    stored: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    stored_means: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    read_cell_scores: Callable[[str], pd.DataFrame | None] = lambda key: None
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        return self.runs + self.baselines

    @property
    def floor(self) -> Prediction:
        """The baseline that stands beside a single prediction: the mean over the training perturbations."""
        return self.baselines[-1]

    def find(self, key: str) -> Prediction:
        """Raises SpecError where nothing of this key is compared."""
        known = {prediction.key: prediction for prediction in self.predictions}
        if key not in known:
            raise SpecError(
                "not_compared", f"'{key}' is not part of this comparison", fix=f"choose {' or '.join(known)}"
            )
        return known[key]

    def check_perturbations(self, wanted: list[str]) -> list[str]:
        """Raises SpecError for those that are not compared."""
        if unknown := [label for label in wanted if label not in self.labels]:
            raise SpecError(
                "not_in_part",
                f"Not every run predicts {name_some(unknown)} in its {self.part} part",
                fix=f"choose among {name_some(self.labels, 10)}",
            )
        return wanted

    def strongest(self, number: int = FIRST_PERTURBATIONS) -> list[str]:
        """The perturbations of the largest real effect."""
        effects = self.index.perturbations.set_index("perturbation")["effect"].loc[list(self.labels)]
        return effects.nlargest(number).index.tolist()

    def scores(self, key: str, *metrics: str) -> pd.DataFrame:
        """perturbation, n_degs and metrics, at least those named, else all that need no predicted cells.

        key : of a prediction, or one of LIMITS
        """
        stored = self.stored.get(key)
        if stored is not None and set(metrics) <= set(stored):
            return stored
        names = metrics or tuple(list_pseudobulk_metrics())
        return self.keep(("scores", key, names), lambda: self._compute_scores(key, names))

    def keep(self, what: Hashable, compute: Callable[[], Made]) -> Made:
        """What `compute` returns, computed once."""
        if what not in self._kept:
            self._kept[what] = compute()
        return self._kept[what]

    def _compute_scores(self, key: str, names: tuple[str, ...]) -> pd.DataFrame:
        if key in LIMITS:
            return self.keep(("limits", names), lambda: compute_limits(self.index, self.labels, names))[key]
        predicted = predicted_profiles(self.index, self.find(key).deltas, self.labels)
        return compute_metrics(real_profiles(self.index, self.labels), predicted, names)
