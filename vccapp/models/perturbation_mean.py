"""The mean effect: every perturbation gets the mean delta of the training perturbations, each with equal weight.

Where the data have several contexts, of those of its own context, and of all where the context has none in training.

Source: the baseline of the Virtual Cell Challenges (2026: the zero of its scale, there called context mean).
"""

import numpy as np

from vccapp.data.splits.split import Split
from vccapp.models.base import GUESSED, MODELS, Fitting, Model
from vccapp.models.saving import ModelState
from vccapp.stats.per_context import PerContext
from vccapp.stats.pseudobulks import Pseudobulks


@MODELS.register("perturbation_mean")
class PerturbationMean(Model):
    name = "perturbation_mean"
    label = "Perturbation mean"
    description = (
        "Predicts the same effect for every perturbation: the mean over the training perturbations, equally weighted."
    )
    purpose = "The baseline that every other model has to beat; both challenges score against it."
    use = "Baseline"
    order = 10
    known_as = GUESSED

    mean_delta: PerContext  # (n_contexts, n_genes) float32, log1p units

    def learn(self, index: Pseudobulks, split: Split, fitting: Fitting) -> None:
        contexts = self.control_means.contexts
        totals, counts = np.zeros((max(len(contexts), 1), len(self.genes))), np.zeros(max(len(contexts), 1))
        for done, label in enumerate(split.train, start=1):
            [own] = self.control_means.places([label])
            totals[own] += index.delta(label)
            counts[own] += 1
            fitting.progress(done / len(split.train), f"{done:,} of {len(split.train):,} perturbations")
        totals[counts == 0], counts[counts == 0] = totals.sum(axis=0), counts.sum()
        self.mean_delta = PerContext(contexts, (totals / counts[:, None]).astype(np.float32))

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        return self.mean_delta.of(perturbations).copy()

    def state(self) -> ModelState:
        return ModelState({"mean_delta": self.mean_delta.stored()})

    def restore(self, state: ModelState) -> None:
        self.mean_delta = PerContext(self.control_means.contexts, np.atleast_2d(state.arrays["mean_delta"]))
