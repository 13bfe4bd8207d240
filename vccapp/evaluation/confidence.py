"""How sure a prediction is: how well the effects that it can be learnt from predict each other.

    known = Confidence.of(index, split.train, embedding="default")
    known.measure(["STAT1", "MED12"])                   # (2,) -1 to 1; NaN where nothing can be told

    confidence(p) = c agreement(K nearest of p) + (1 - c) agreement(all)

The K nearest are training perturbations of the same context, by the cosine of gene vectors; c is the share of p's
targets that have a vector. The agreement of perturbations is the correlation that each one's effect has with the mean
effect of the others, averaged with weights w_q = exp(cos(x_p, x_q) / T) rel_q (of all: rel_q), where rel_q is the
split-half reliability of q. So it is in units of the correlation of deltas that a prediction is later judged by, and
the same whatever model predicts: it is of what training and gene vectors know. Nothing of p itself is read.
Agreement of neighbours' effects as a sign of accuracy: notes of participants of the 2026 challenge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vccapp.data.schema import context_of, positions_of
from vccapp.errors import VccAppError
from vccapp.models.base import Model, targets
from vccapp.models.parts.features import Features
from vccapp.models.parts.knockdown import mask_targets
from vccapp.stats.halves import correct_spearman_brown, correlate_halves, half_deltas
from vccapp.stats.index import Index

NEIGHBOURS, TEMPERATURE = 10, 0.1
"""K and T, the latter as nearest genes have it by default; neither was tuned."""
LEAST = 3
"""Training perturbations of a context below which nothing can be told of it, and all contexts count."""
MEANING = (
    "How well the effects of the training genes that are nearest to a target predict each other, as a correlation. On "
    "real screens it has not been shown to tell good predictions from bad ones: see docs/results.md."
)
"""For people. What is shown, and on which data, stands in docs/results.md; this follows it."""
OWN = ("self", "one-hot")
"""What models make of their training part instead of a gene embedding."""
ASSUMED, LOWEST = 0.5, 0.01
"""Reliability of an effect that has no halves, and the lowest that counts."""


@dataclass(frozen=True)
class Confidence:
    """What is known of the training perturbations `labels`, n of them."""

    labels: tuple[str, ...]
    features: Features
    products: np.ndarray  # (n, n) float64 inner products of their centred effects, own targets masked
    reliability: np.ndarray  # (n,)

    @classmethod
    def of(cls, index: Index, trained: Sequence[str], *, embedding: str) -> "Confidence":
        """What `open_embedding` raises passes. Of held-out perturbations nothing is read."""
        labels = [label for label in trained if label in set(index.perturbed)]
        position = positions_of(index.genes["gene"].to_numpy(str))
        effects = mask_targets(index.deltas(labels), labels, position=position)
        effects -= effects.mean(axis=1, keepdims=True)
        reliability = correct_spearman_brown(correlate_halves(*half_deltas(index, labels)))
        reliability = np.nan_to_num(reliability, nan=ASSUMED).clip(LOWEST, 1)
        products = (effects @ effects.T).astype(np.float64)
        return cls(tuple(labels), Features.open(embedding, index), products, reliability)

    def measure(self, perturbations: Sequence[str]) -> np.ndarray:
        """(n,) float64; NaN with fewer than LEAST training perturbations."""
        confidence = np.full(len(perturbations), np.nan)
        if len(self.labels) < LEAST:
            return confidence
        cosine = _cosine(self._vectors(perturbations), self._vectors(self.labels))
        known = self.features.count_known(perturbations)
        for context in {context_of(label) for label in perturbations}:
            trained = np.flatnonzero([context_of(label) == context for label in self.labels])
            trained = trained if len(trained) >= LEAST else np.arange(len(self.labels))
            of_all = self._agreement(trained, self.reliability[trained])
            for i in [i for i, label in enumerate(perturbations) if context_of(label) == context]:
                order = np.argsort(-cosine[i, trained], kind="stable")
                nearest = trained[order[:NEIGHBOURS]]
                weights = np.exp((cosine[i, nearest] - 1) / TEMPERATURE) * self.reliability[nearest]
                share = known[i] / max(len(targets(perturbations[i])), 1)
                near = self._agreement(nearest, weights) if share else 0.0
                confidence[i] = share * near + (1 - share) * of_all
        return confidence

    def _vectors(self, perturbations: Sequence[str]) -> np.ndarray:
        return self.features.rows(perturbations, missing="mean").astype(np.float64)

    def _agreement(self, rows: np.ndarray, weights: np.ndarray) -> float:
        """The weighted mean, over these perturbations, of each one's correlation with the mean of the others."""
        products = self.products[np.ix_(rows, rows)]
        own, sums = products.diagonal(), products @ weights
        along = sums - weights * own
        lengths = np.sqrt((weights @ sums - 2 * weights * sums + weights**2 * own).clip(0) * own)
        agreed = np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 1e-12)
        return float(weights @ agreed / weights.sum())


def measure_confidence(model: Model, index: Index, perturbations: Sequence[str]) -> dict[str, float | None]:
    """Of each prediction of a fitted model, by the gene embedding that it or a part of it reads, or the default one.

    index : of the data that it was trained on. None where nothing can be told, or the embedding is gone.
    """
    read = [getattr(own.spec, "embedding", "") for own in (model, *model.parts().values())]
    embedding = next((name for name in read if name and name not in OWN), "default")
    try:
        known = Confidence.of(index, model.trained_on, embedding=embedding)
    except VccAppError:
        return dict.fromkeys(perturbations)
    values = known.measure(perturbations)
    return {
        label: None if np.isnan(value) else round(float(value), 4)
        for label, value in zip(perturbations, values, strict=True)
    }


def describe_confidence(confidence: Mapping[str, float | None]) -> str:
    """Median and range in words; "" where nothing is known."""
    known = [value for value in confidence.values() if value is not None]
    return f"median {np.median(known):.2f}, {min(known):.2f} to {max(known):.2f}" if known else ""


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, m); 0 where a vector is 0."""
    lengths = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    return np.divide(first @ second.T, lengths, out=np.zeros(lengths.shape), where=lengths > 0)
