"""Nearest neighbours among gene vectors: the effect of the most similar training perturbations, shrunk to the mean.

    effect(p) = m_p b + s * sum_q w_pq (effect_q - m_q b),   w_pq = softmax over the k nearest q of cos(x_p, x_q) / T

k and s minimise the squared error of leaving each training perturbation out (the mean b too is then of the others);
s, between 0 and 1, is closed form for each k. Source: kNN on gene features as in Csendes et al., BMC Genomics 26:393,
2025, with the shrinkage added.
"""

import numpy as np
from pydantic import Field

from vccapp.models.base import MODELS, Fitting
from vccapp.models.parts.effects import count_targets
from vccapp.models.parts.embedded import EmbeddedModel
from vccapp.models.parts.features import EmbeddingSpec
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index

NEIGHBOURS = (1, 2, 3, 5, 8, 12, 20, 30, 50)
"""Choices of k."""


@MODELS.register("knn")
class NearestNeighbours(EmbeddedModel):
    name = "knn"
    label = "Nearest genes"
    description = (
        "Averages the effects of the training perturbations whose genes have the most similar vectors, shrunk "
        "towards the mean effect as far as leave-one-perturbation-out suggests."
    )
    purpose = "For unseen genes that have close relatives among the training genes."
    use = "Unseen genes"
    order = 21

    class Spec(EmbeddingSpec):
        temperature: float = Field(
            0.1,
            gt=0,
            title="Bandwidth",
            description="Width of the neighbour weights, in units of cosine; small values favour the nearest genes.",
        )

    spec: Spec
    trained: np.ndarray  # (n, d) float32 vectors
    deviations: np.ndarray  # (n, n_genes) float32, of the training perturbations from the mean effect
    neighbours: int  # k
    share: float  # s

    def learn_deviations(self, labels: list[str], effects: np.ndarray, index: Index, fitting: Fitting) -> None:
        self.trained, counts = self.vectors(labels), count_targets(labels).astype(np.float64)
        self.deviations = effects - self.mean_effects(labels)
        gram = self.deviations.astype(np.float64) @ self.deviations.T
        cosine = _cosine(self.trained, self.trained)
        groups = self.groups if self.groups.max() else np.arange(len(labels))  # of one target nothing would be left
        cosine[groups[:, None] == groups] = -np.inf
        # Leaving i out moves the mean by -m_i deviation_i / (m'm - m_i^2), as the deviations are orthogonal to m.
        moved = np.divide(counts, (counts @ counts) - counts**2, out=np.zeros_like(counts), where=len(labels) > 1)
        real = np.diag(1 + counts * moved)  # row i: the deviation of i from the others' mean, in deviations
        best = (np.inf, 1, 0.0)
        for k in sorted({min(k, len(labels) - 1) for k in NEIGHBOURS if len(labels) > 1}):
            weights = _weigh(cosine, k, self.spec.temperature)
            guess = weights + np.diag(weights @ counts * moved)
            cross = np.einsum("ij,jk,ik->", real, gram, guess, optimize=True)
            square = np.einsum("ij,jk,ik->", guess, gram, guess, optimize=True)
            share = float(np.clip(cross / square, 0, 1)) if square > 0 else 0.0
            left = real - share * guess
            error = float(np.einsum("ij,jk,ik->", left, gram, left, optimize=True))
            fitting.log({"step": k, "share": share, "loo_error": error / effects.size})
            best = min(best, (error, k, share))
        _, self.neighbours, self.share = best

    def predict_deviations(self, perturbations: list[str]) -> np.ndarray:
        known = np.array(self.count_known(perturbations), int) > 0
        out = np.zeros((len(perturbations), len(self.genes)), np.float32)
        if known.any():
            cosine = _cosine(self.vectors(perturbations)[known], self.trained)
            weights = _weigh(cosine, min(self.neighbours, len(self.trained)), self.spec.temperature)
            out[known] = self.share * (weights @ self.deviations)
        elif self.spec.missing == "error":
            self.vectors(perturbations)
        return out

    def state(self) -> ModelState:
        arrays = {"trained": self.trained, "deviations": self.deviations}
        return super().state() | ModelState(arrays, {"neighbours": self.neighbours, "share": self.share})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.trained, self.deviations = state.arrays["trained"], state.arrays["deviations"]
        self.neighbours, self.share = state.meta["neighbours"], state.meta["share"]


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, m) float64; zero where a vector is zero."""
    units = []
    for vectors in (first, second):
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        units.append(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0).astype(np.float64))
    return units[0] @ units[1].T


def _weigh(cosine: np.ndarray, k: int, temperature: float) -> np.ndarray:
    """(n, m) weights of the k largest of each row, summing to 1; ties go to the earlier. -inf takes no part."""
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(cosine, nearest, axis=1) / temperature
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    out = np.zeros_like(cosine)
    np.put_along_axis(out, nearest, weights / weights.sum(axis=1, keepdims=True), axis=1)
    return out
