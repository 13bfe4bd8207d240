"""The bilinear model of Ahlmann-Eltze et al. (Nature Methods 22:1657, 2025), their simple linear model.

    Y = A K P' + b 1',    K = argmin |Y - b 1' - A K P'|^2 + ridge = (A'A + rI)^-1 A' (Y - b 1') P (P'P + rI)^-1

Y (genes, n) are the training deltas and b their row means; A (genes, k) holds the genes' scores in a principal
component analysis of the training pseudobulks; P (n, k) the rows of A at the targets, or a gene embedding.
A target without a row gets b. Unlike theirs, a perturbation's own targets are masked in Y and set by the knock-down.
"""

import numpy as np
from pydantic import Field

from vccapp.models.base import MODELS, Fitting
from vccapp.models.parts.embedded import EmbeddedModel
from vccapp.models.parts.features import EmbeddingSpec, Features
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index

SELF = "self"


@MODELS.register("bilinear")
class Bilinear(EmbeddedModel):
    name = "bilinear"
    label = "Bilinear"
    description = (
        "The linear baseline of Ahlmann-Eltze et al. 2025: gene and perturbation vectors from a principal component "
        "analysis of the training pseudobulks, joined by a ridge-fitted matrix."
    )
    purpose = "The published linear baseline, to compare with the literature."
    use = "Unseen genes"
    order = 22
    takes_embedding = False  # its own vectors, unless it is told otherwise

    class Spec(EmbeddingSpec):
        embedding: str = Field(
            SELF,
            title="Gene embedding",
            description="Vectors of the perturbed genes: self (from the training pseudobulks, as in the paper), or a "
            "gene embedding: default, expression, a path, or several joined by +.",
        )
        rank: int = Field(
            10,
            ge=1,
            le=200,
            title="Components",
            description="Principal components of the pseudobulks (10 in the paper).",
        )
        ridge: float = Field(
            0.1, gt=0, title="Ridge penalty", description="Added to both diagonals (0.1 in the paper)."
        )

    spec: Spec
    scores: np.ndarray  # (n_genes, k) float32: A
    joint: np.ndarray  # (k, d) float32: K

    def prepare(self, index: Index) -> None:
        means = index.means([*index.controls, *self.trained_on]).astype(np.float64).T
        centred = means - means.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        kept = min(self.spec.rank, int((values > 1e-9 * values[-1]).sum()))
        self.scores = (centred @ vectors[:, ::-1][:, :kept]).astype(np.float32)
        if self.spec.embedding == SELF:
            self.features = Features(self.genes.tolist(), self.scores.astype(np.float16), name="training pseudobulks")
        else:
            super().prepare(index)

    def learn_deviations(self, labels: list[str], effects: np.ndarray, index: Index, fitting: Fitting) -> None:
        deviations = effects - self.mean_effects(labels)
        scores, vectors = self.scores.astype(np.float64), self.vectors(labels).astype(np.float64)
        left = scores.T @ scores + self.spec.ridge * np.eye(scores.shape[1])
        right = vectors.T @ vectors + self.spec.ridge * np.eye(vectors.shape[1])
        inner = np.linalg.solve(left, scores.T @ deviations.T) @ vectors
        self.joint = np.linalg.solve(right, inner.T).T.astype(np.float32)

    def predict_deviations(self, perturbations: list[str]) -> np.ndarray:
        return self.vectors(perturbations) @ self.joint.T @ self.scores.T

    def state(self) -> ModelState:
        return super().state() | ModelState({"scores": self.scores, "joint": self.joint})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.scores, self.joint = state.arrays["scores"], state.arrays["joint"]
