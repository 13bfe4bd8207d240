"""What is compared on equal terms: the predicted deltas of a run or of a baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.data.schema import positions_of
from vccapp.data.splits.split import Split
from vccapp.models.base import make_model
from vccapp.references import FULL_NAMES
from vccapp.stats.index import Index


@dataclass(frozen=True)
class Prediction:
    """Deltas against the controls for `labels`, log1p units; `name` is how charts call it, `key` how links do.

    confidence : by label, of a run (`vccapp.evaluation.confidence`)
    cells : of a perturbation, (n, n_genes) log1p of predicted cells that are stored; None where they are made from the
    controls
    """

    key: str
    name: str
    kind: Literal["run", "baseline"]
    labels: tuple[str, ...]
    deltas: np.ndarray  # (labels, n_genes) float32
    cells: Callable[[str], csr_matrix] | None = None
    confidence: Mapping[str, float | None] = field(default_factory=dict)

    def only(self, labels: Sequence[str]) -> Self:
        """The same for some of the perturbations, in this order."""
        row = positions_of(self.labels)
        return replace(self, labels=tuple(labels), deltas=self.deltas[[row[label] for label in labels]])


def fit_baseline(index: Index, split: Split, *, model: str, labels: Sequence[str]) -> Prediction:
    """What a baseline fitted on the training part of `split` predicts for `labels`."""
    deltas = make_model(model).fit(index, split).predict(labels)
    return Prediction(model, FULL_NAMES[model], "baseline", tuple(labels), deltas)
