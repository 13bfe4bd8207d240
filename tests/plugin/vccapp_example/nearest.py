"""A model: a share of the effect of the training perturbation whose genes have the most similar vectors."""

import numpy as np
from pydantic import Field

from vccapp.data.splits.split import Split
from vccapp.models.base import MODELS, Fitting, Model
from vccapp.models.parts.features import EmbeddingSpec, Features
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index


class NearestSpec(EmbeddingSpec):
    share: float = Field(0.5, gt=0, le=1, description="Part of that effect that is predicted.")


@MODELS.register("nearest")
class Nearest(Model):
    name = "nearest"
    label = "Nearest gene"
    description = "Predicts a share of the effect of the training perturbation with the most similar gene vector."
    Spec = NearestSpec

    spec: NearestSpec
    features: Features
    effects: np.ndarray  # (training perturbations, n_genes) log1p

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        self.features = Features.open(self.spec.embedding, index)
        self.effects = index.deltas(list(split.train))

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        known = self.features.rows(self.trained_on, missing="mean")
        wanted = self.features.rows(perturbations, missing=self.spec.missing)
        nearest = (wanted @ known.T).argmax(axis=1)
        return self.spec.share * self.effects[nearest]

    def state(self) -> ModelState:
        return self.features.state() | ModelState({"effects": self.effects})

    def restore(self, state: ModelState) -> None:
        self.features = Features.restore(state)
        self.effects = state.arrays["effects"]
