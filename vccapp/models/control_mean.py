"""No change: every perturbation looks like the controls. The floor that a model must beat."""

import numpy as np

from vccapp.data.splits.split import Split
from vccapp.models.base import GUESSED, MODELS, Fitting, Model
from vccapp.models.saving import ModelState
from vccapp.stats.pseudobulks import Pseudobulks


@MODELS.register("control_mean")
class ControlMean(Model):
    name = "control_mean"
    label = "Control mean"
    description = "Predicts no change: the mean of the control cells for every perturbation."
    purpose = "The zero line: what the scores are when nothing is predicted."
    use = "Baseline"
    order = 12
    known_as = GUESSED

    def learn(self, index: Pseudobulks, split: Split, fitting: Fitting) -> None:
        """Nothing but the control mean, which every model keeps."""

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        return np.zeros((len(perturbations), len(self.genes)), np.float32)

    def state(self) -> ModelState:
        return ModelState()

    def restore(self, state: ModelState) -> None:
        """Nothing to take back."""
