"""Ridge on gene vectors: genes with similar vectors have similar effects. Closed form, shrinkage by leave-one-out.

With vectors x_p (sums over targets), m_p targets, phi the kernel's feature map, and everything orthogonal to m taken:

    effect(p) = m_p b + sum_q alpha_q [k(x_p, x_q) - m_p mean_k_q],     alpha = (K + lambda I)^-1 (Y - m b')

lambda minimises the squared error of leaving each training perturbation out (`vccapp.models.parts.kernels`). Linear
kernel: ridge regression; gaussian kernel, as wide as the median distance: kernel ridge. An infinite lambda is among the
choices: the mean. Embeddings that are joined by + have a kernel each, with weights learnt by the same errors.
The same predictions of what was left out tell how strongly deviations are drawn (`vccapp.models.parts.strength`).
"""

from typing import Literal

import numpy as np
from pydantic import Field

from vccapp.models.base import MODELS, Fitting
from vccapp.models.parts.effects import count_targets
from vccapp.models.parts.embedded import EmbeddedModel
from vccapp.models.parts.features import EmbeddingSpec, Features
from vccapp.models.parts.kernels import find_left, learn_weights, leave_out, residualise
from vccapp.models.parts.strength import choose_strength, judged_rows
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index


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
    blocks: tuple[int, ...]  # columns of each embedding among the vectors
    widths: list[float]  # of the gaussian of each
    weights: list[float]  # of the kernel of each
    shrinkage: float  # lambda

    def prepare(self, index: Index) -> None:
        self.features = Features.open(self.spec.embedding, index, apart=True)
        self.blocks = tuple(self.features.blocks.values())

    def learn_deviations(self, labels: list[str], effects: np.ndarray, index: Index, fitting: Fitting) -> None:
        self.trained, self.counts = self.vectors(labels), count_targets(labels)
        self.widths = [_median_distance(block) for block in self._split(self.trained)]
        deviations = effects - self.mean_effects(labels)
        gram = deviations.astype(np.float64) @ deviations.T
        self.weights = self._weigh(gram, fitting)
        kernel = self._kernel(self.trained)
        choices = score_shrinkage(kernel, gram, self.counts, self.groups)
        for step, (value, error) in enumerate(choices):
            known = {"shrinkage": value} if np.isfinite(value) else {}  # the last is the mean alone
            fitting.log({"step": step, "loo_error": error / deviations.size} | known)
        self.shrinkage = min(choices, key=lambda choice: choice[1])[0]
        values, vectors = np.linalg.eigh(residualise(kernel, self.counts))
        weight = 1 / (np.maximum(values, 0) + self.shrinkage)
        rest = (vectors * (self.shrinkage * weight if np.isfinite(self.shrinkage) else 1)) @ vectors.T
        strength = self.spec.strength or self._choose_strength(effects, deviations, rest)
        fitting.progress(1.0, f"deviations drawn {strength:g} times as strong as least squares has them")
        self.alpha = ((vectors * weight * strength) @ (vectors.T @ deviations)).astype(np.float32)

    def _weigh(self, gram: np.ndarray, fitting: Fitting) -> list[float]:
        """Weights of the kernels, each over its mean eigenvalue, so that they count alike before they are learnt."""
        if len(self.blocks) == 1:
            return [1.0]
        kernels = np.stack(self._kernels(self.trained))
        sizes = [max(float(np.trace(residualise(kernel, self.counts))) / len(gram), 1e-12) for kernel in kernels]
        kernels /= np.array(sizes)[:, None, None]
        weights, share = learn_weights(kernels, gram, self.counts, self.groups)
        pairs = zip(self.features.blocks, weights, strict=True)
        said = ", ".join(f"{name} {weight:.2f}" for name, weight in pairs)
        why = "learnt" if share else f"equal, as {len(gram):,} perturbations tell no difference"
        fitting.progress(0.5, f"weights of the embeddings ({why}): {said}")
        return [float(weight / size) for weight, size in zip(weights, sizes, strict=True)]

    def _choose_strength(self, effects: np.ndarray, deviations: np.ndarray, rest: np.ndarray) -> float:
        """rest : (n, n) what of each deviation a fit with all of them leaves over."""
        rows, unshrunk = judged_rows(len(effects)), self.counts**2 / (self.counts @ self.counts)
        means = effects[rows] - deviations[rows] / (1 - unshrunk[rows])[:, None]
        left = find_left(rest, np.eye(len(rest)), self.counts, self.groups)
        predicted = effects[rows] - left[rows] @ deviations
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
        about = {"blocks": self.blocks, "widths": self.widths, "weights": self.weights}
        return super().state() | ModelState(arrays, about | {"shrinkage": shrinkage})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.trained, self.counts, self.alpha = (state.arrays[name] for name in ("trained", "counts", "alpha"))
        self.blocks = tuple(state.meta.get("blocks", (self.trained.shape[1],)))  # up to 0.1.0: one embedding
        self.widths = state.meta.get("widths") or [state.meta["width"]]
        self.weights, shrinkage = state.meta.get("weights", [1.0]), state.meta["shrinkage"]
        self.shrinkage = np.inf if shrinkage is None else shrinkage

    def _kernel(self, vectors: np.ndarray) -> np.ndarray:
        """(len(vectors), n) float64, with the training perturbations."""
        kernels = zip(self.weights, self._kernels(vectors), strict=True)
        return np.sum([weight * kernel for weight, kernel in kernels], axis=0)

    def _kernels(self, vectors: np.ndarray) -> list[np.ndarray]:
        """The same for each embedding."""
        blocks = zip(self._split(vectors), self._split(self.trained), self.widths, strict=True)
        if self.spec.kernel == "linear":
            return [own.astype(np.float64) @ trained.T for own, trained, _ in blocks]
        return [np.exp(-_squared_distances(own, trained) / (2 * width**2)) for own, trained, width in blocks]

    def _split(self, vectors: np.ndarray) -> list[np.ndarray]:
        return np.split(vectors, np.cumsum(self.blocks)[:-1], axis=1)


def score_shrinkage(
    kernel: np.ndarray, gram: np.ndarray, counts: np.ndarray, groups: np.ndarray | None = None
) -> list[tuple[float, float]]:
    """(lambda, summed squared error of leaving each out in turn) for every choice; see `leave_out`."""
    lambdas, errors = leave_out(kernel, gram, counts, groups=groups)
    return list(zip(lambdas.tolist(), errors.sum(axis=1).tolist(), strict=True))


def _median_distance(vectors: np.ndarray) -> float:
    above = _squared_distances(vectors, vectors)[np.triu_indices(len(vectors), 1)]
    return float(np.sqrt(np.median(above))) if len(above) and np.median(above) > 0 else 1.0


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = first.astype(np.float64), second.astype(np.float64)
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    return np.maximum(squares - 2 * first @ second.T, 0)
