"""What is compared on equal terms: the predicted deltas of a run or of a baseline, and real ones of other cells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from vccapp.data.split import Split
from vccapp.models.base import MODELS, make_model
from vccapp.stats.index import Index

CEILING = "ceiling: half against half"
"""How charts and tables call what one half of the real cells says of the other."""


@dataclass(frozen=True)
class Contender:
    """Deltas against the controls for `labels`, log1p units; `name` is how charts call it, `key` how links do."""

    key: str
    name: str
    kind: Literal["run", "baseline"]
    labels: tuple[str, ...]
    deltas: np.ndarray  # (labels, n_genes) float32

    def only(self, labels: Sequence[str]) -> Self:
        """The same for some of the perturbations, in this order."""
        row = {label: i for i, label in enumerate(self.labels)}
        return replace(self, labels=tuple(labels), deltas=self.deltas[[row[label] for label in labels]])


def fit_baseline(index: Index, split: Split, *, model: str, labels: Sequence[str]) -> Contender:
    """What a baseline fitted on the training part of `split` predicts for `labels`."""
    deltas = make_model(model).fit(index, split).predict(labels)
    return Contender(model, f"baseline: {MODELS[model].label.lower()}", "baseline", tuple(labels), deltas)


def half_deltas(index: Index, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Real deltas of two halves of the cells, (labels, n_genes) each: how far a repeated measurement agrees.

    The cells of each perturbation, and the controls, were drawn into the halves when the index was built; both are NaN
    where a half has no cell.
    """
    halves = index.array("half_mean")[:, [0, *index.rows(list(labels))]].astype(np.float32)
    first, second = halves[:, 1:] - halves[:, :1]
    return first, second
