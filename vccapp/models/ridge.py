"""Ridge on gene vectors: genes with similar vectors have similar effects. Closed form, shrinkage by leave-one-out.

With vectors x_p (sums over targets), m_p targets, phi the kernel's feature map, and everything orthogonal to m taken:

    effect(p) = m_p b + sum_q alpha_q [k(x_p, x_q) - m_p mean_k_q],     alpha = (K + lambda I)^-1 (Y - m b')

lambda minimises the squared error of leaving each training perturbation out, which the smoother H gives without
refitting: residual_i / (1 - H_ii) (Hastie, Tibshirani & Friedman 2009, 7.10 and 5.8). Linear kernel: ridge regression;
gaussian kernel, as wide as the median distance: kernel ridge. An infinite lambda is among the choices: the mean.
The same predictions of what was left out tell how strongly deviations are drawn (`vccapp.models.parts.strength`).
"""

from typing import Literal

import numpy as np
from pydantic import Field

from vccapp.models.base import MODELS, Fitting
from vccapp.models.parts.effects import count_targets
from vccapp.models.parts.embedded import EmbeddedModel
from vccapp.models.parts.features import EmbeddingSpec
from vccapp.models.parts.strength import choose_strength, judged_rows
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index

SHRINKAGE = np.concatenate([np.geomspace(1e-3, 1e4, 43), [np.inf]])
"""Choices of lambda, in units of the mean eigenvalue of the kernel."""


@MODELS.register("ridge")
class Ridge(EmbeddedModel):
    name = "ridge"
    label = "Ridge on gene vectors"
    description = (
        "Genes with similar vectors have similar effects: (kernel) ridge regression from a gene embedding, "
        "shrunk towards the mean effect as far as leave-one-perturbation-out suggests."
    )
    purpose = "The first model to try for genes that the data never perturb; it trains in seconds."
    use = "Unseen genes"
    order = 20
    least_squares = {"strength": 1.0}

    class Spec(EmbeddingSpec):
        value_labels = {**EmbeddingSpec.value_labels, "kernel": {"linear": "Linear", "gaussian": "Gaussian"}}

        kernel: Literal["linear", "gaussian"] = Field(
            "gaussian",
            title="Kernel",
            description="gaussian: kernel ridge regression with the median distance as width; linear: "
            "ridge regression.",
        )
        strength: float | None = Field(
            None,
            gt=0,
            le=10,
            title="Strength",
            description="Factor on what is predicted beyond the mean effect. 1 gives the least squared error; larger "
            "values make perturbations easier to tell apart (PDS). If empty, leave-one-perturbation-out "
            "chooses the best for PDS and MAE together.",
        )

    spec: Spec
    trained: np.ndarray  # (n, d) float32 vectors
    counts: np.ndarray  # (n,) float32 targets
    alpha: np.ndarray  # (n, n_genes) float32
    width: float  # of the gaussian
    shrinkage: float  # lambda

    def learn_deviations(self, labels: list[str], effects: np.ndarray, index: Index, fitting: Fitting) -> None:
        self.trained, self.counts = self.vectors(labels), count_targets(labels)
        squared = _squared_distances(self.trained, self.trained)
        above = squared[np.triu_indices(len(labels), 1)]
        self.width = float(np.sqrt(np.median(above))) if len(above) and np.median(above) > 0 else 1.0
        deviations = effects - self.mean_effects(labels)
        kernel, gram = self._kernel(self.trained), deviations.astype(np.float64) @ deviations.T
        choices = score_shrinkage(kernel, gram, self.counts)
        for step, (value, error) in enumerate(choices):
            known = {"shrinkage": value} if np.isfinite(value) else {}  # the last is the mean alone
            fitting.log({"step": step, "loo_error": error / deviations.size} | known)
        self.shrinkage = min(choices, key=lambda choice: choice[1])[0]
        values, vectors = np.linalg.eigh(_residualise(kernel, self.counts))
        weight = 1 / (np.maximum(values, 0) + self.shrinkage)
        rest = (vectors * (self.shrinkage * weight if np.isfinite(self.shrinkage) else 1)) @ vectors.T
        strength = self.spec.strength or self._choose_strength(effects, deviations, rest)
        fitting.progress(1.0, f"deviations drawn {strength:g} times as strong as least squares has them")
        self.alpha = ((vectors * weight * strength) @ (vectors.T @ deviations)).astype(np.float32)

    def _choose_strength(self, effects: np.ndarray, deviations: np.ndarray, rest: np.ndarray) -> float:
        """rest : (n, n) what of each deviation a fit with all of them leaves over."""
        rows, unshrunk = judged_rows(len(effects)), self.counts**2 / (self.counts @ self.counts)
        means = effects[rows] - deviations[rows] / (1 - unshrunk[rows])[:, None]
        free = np.maximum(np.diag(rest) - unshrunk, 1e-9)
        predicted = effects[rows] - (rest[rows] @ deviations) / free[rows, None]
        return choose_strength(effects[rows], means, predicted)

    def predict_deviations(self, perturbations: list[str]) -> np.ndarray:
        kernel = self._kernel(self.vectors(perturbations))
        mean = self._kernel(self.trained) @ self.counts / (self.counts @ self.counts)
        deviations = ((kernel - count_targets(perturbations)[:, None] * mean) @ self.alpha).astype(np.float32)
        deviations[np.array(self.count_known(perturbations), int) == 0] = 0
        return deviations

    def state(self) -> ModelState:
        arrays = {"trained": self.trained, "counts": self.counts, "alpha": self.alpha}
        shrinkage = self.shrinkage if np.isfinite(self.shrinkage) else None  # JSON knows no infinity
        return super().state() | ModelState(arrays, {"width": self.width, "shrinkage": shrinkage})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.trained, self.counts, self.alpha = (state.arrays[name] for name in ("trained", "counts", "alpha"))
        self.width, shrinkage = state.meta["width"], state.meta["shrinkage"]
        self.shrinkage = np.inf if shrinkage is None else shrinkage

    def _kernel(self, vectors: np.ndarray) -> np.ndarray:
        """(len(vectors), n) float64, with the training perturbations."""
        if self.spec.kernel == "linear":
            return vectors.astype(np.float64) @ self.trained.T
        return np.exp(-_squared_distances(vectors, self.trained) / (2 * self.width**2))


def score_shrinkage(kernel: np.ndarray, gram: np.ndarray, counts: np.ndarray) -> list[tuple[float, float]]:
    """(lambda, summed squared error of leaving each out in turn) for every choice.

    kernel : (n, n); gram : (n, n) inner products of the deviations, which are orthogonal to counts; counts : (n,)
    """
    values, vectors = np.linalg.eigh(_residualise(kernel, counts))
    values = np.maximum(values, 0)
    mean = max(values.mean(), 1e-12)
    unshrunk = np.outer(counts, counts) / (counts @ counts)
    choices = []
    for shrinkage in SHRINKAGE * mean:
        smoother = (vectors * (values / (values + shrinkage))) @ vectors.T
        rest = np.eye(len(counts)) - smoother
        left_out = np.einsum("ij,jk,ik->i", rest, gram, rest, optimize=True)
        free = np.maximum(1 - np.diag(smoother) - np.diag(unshrunk), 1e-9)
        choices.append((float(shrinkage), float((left_out / free**2).sum())))
    return choices


def _residualise(kernel: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The kernel of features made orthogonal to counts: with counts of 1, the centred kernel."""
    counts = counts.astype(np.float64)
    away = np.eye(len(counts)) - np.outer(counts, counts) / (counts @ counts)
    return away @ kernel @ away


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = first.astype(np.float64), second.astype(np.float64)
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    return np.maximum(squares - 2 * first @ second.T, 0)
