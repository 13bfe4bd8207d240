"""Additive: the effect of silencing two genes is the sum of the effects of silencing each.

Source: the additive baseline of Ahlmann-Eltze et al., Nature Methods 22:1657, 2025. A gene whose single perturbation
is not in training counts with the mean effect of the singles and the usual knock-down; `coverage` reports it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, label_in, positions_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, Fitting, Model, targets
from vccapp.models.parts.knockdown import mask_targets, measure_residual, set_targets
from vccapp.models.saving import ModelState
from vccapp.stats.per_context import PerContext
from vccapp.stats.pseudobulks import Pseudobulks


@MODELS.register("additive")
class Additive(Model):
    name = "additive"
    label = "Additive"
    description = (
        "For two genes A+B: the sum of the measured effects of A and of B. Genes that training has not "
        "silenced alone get the mean effect."
    )
    purpose = "For pairs of genes (A+B) whose single perturbations were measured."
    use = "Measured singles"
    order = 30

    singles: list[str]
    effects: np.ndarray  # (singles, n_genes) float32 measured deltas, log1p units
    mean_effect: PerContext  # (n_contexts, n_genes) float32 of the singles, their own targets masked
    residual: float | None

    def learn(self, index: Pseudobulks, split: Split, fitting: Fitting) -> None:
        self.check_inputs(index, split, device=fitting.device)
        position = positions_of(self.genes)
        self.effects = np.asarray(index.deltas(self.singles), np.float32)
        masked, contexts = mask_targets(self.effects, self.singles, position=position), self.control_means.contexts
        self.mean_effect = PerContext.summed_up(contexts, self.singles, lambda own: masked[own].mean(axis=0))
        self.residual = measure_residual(index, self.singles, position=position)

    def check_inputs(self, index: Pseudobulks, split: Split, *, device: str) -> None:
        self.singles = [label for label in split.train if len(targets(label)) == 1]
        if not self.singles:
            raise SpecError(
                "no_single_gene",
                f"None of the {len(split.train)} training perturbations targets a single gene, so there is "
                "nothing to add up",
                fix="move some perturbations to train or choose another model",
            )

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        row = positions_of(self.singles)
        singles = sorted({single for label in perturbations for single in _singles_of(label)})
        lacking = [single for single in singles if single not in row]
        stand_in, control = self.mean_effect.of(lacking).copy(), self.control_means.of(lacking)
        set_targets(stand_in, lacking, residual=self.residual, control=control, position=positions_of(self.genes))
        effect = {single: self.effects[row[single]] for single in singles if single in row}
        effect |= dict(zip(lacking, stand_in, strict=True))
        deltas = np.zeros((len(perturbations), len(self.genes)), np.float32)
        for i, label in enumerate(perturbations):
            for single in _singles_of(label):
                deltas[i] += effect[single]
        return deltas

    def coverage(self, perturbations: Sequence[str]) -> pd.DataFrame:
        """As the base class; n_known counts the targets whose single perturbation is in training."""
        singles = set(self.singles)
        known = [sum(single in singles for single in _singles_of(label)) for label in perturbations]
        return super().coverage(perturbations).assign(n_known=known)

    def state(self) -> ModelState:
        arrays = {"effects": self.effects, "mean_effect": self.mean_effect.stored()}
        return ModelState(arrays, {"singles": self.singles, "residual": self.residual})

    def restore(self, state: ModelState) -> None:
        self.effects = state.arrays["effects"]
        self.mean_effect = PerContext(self.control_means.contexts, np.atleast_2d(state.arrays["mean_effect"]))
        self.singles, self.residual = state.meta["singles"], state.meta["residual"]


def _singles_of(label: str) -> list[str]:
    """The labels of its genes alone, in the same context: 'A+B@K562' -> 'A@K562', 'B@K562'."""
    return [label_in(gene, context_of(label)) for gene in targets(label)]
