"""The mean effect: every perturbation gets the mean delta of the training perturbations, each with equal weight.

Source: the baseline of the Virtual Cell Challenges (2026: the zero of its scale, there called context mean).
"""

import numpy as np

from vccapp.data.split import Split
from vccapp.models.base import MODELS, Fitting, Model
from vccapp.models.saving import ModelState
from vccapp.stats.index import Pseudobulks


@MODELS.register("perturbation_mean")
class PerturbationMean(Model):
    name = "perturbation_mean"
    label = "Perturbation mean"
    description = (
        "Predicts the same effect for every perturbation: the mean over the training perturbations, equally weighted."
    )

    mean_delta: np.ndarray  # (n_genes,) float32, log1p units

    def learn(self, index: Pseudobulks, split: Split, fitting: Fitting) -> None:
        total = np.zeros(len(self.genes))
        for done, label in enumerate(split.train, start=1):
            total += index.delta(label)
            fitting.progress(done / len(split.train), f"{done:,} of {len(split.train):,} perturbations")
        self.mean_delta = (total / len(split.train)).astype(np.float32)

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        return np.tile(self.mean_delta, (len(perturbations), 1))

    def state(self) -> ModelState:
        return ModelState({"mean_delta": self.mean_delta})

    def restore(self, state: ModelState) -> None:
        self.mean_delta = state.arrays["mean_delta"]
