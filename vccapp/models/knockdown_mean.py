"""The mean effect with the target knocked down: perturbation mean, and the target gene set to its residual level.

Source: the CRISPR-informed mean of Wong et al., Bioinformatics 41(6), 2025.

The residual of a target t is expm1(pseudobulk_t) / expm1(control_t): a ratio of depth-normalised counts, taken out of
log1p because in log1p units one knock-down gives another ratio at each expression level. The model keeps the median
over the targets of the training perturbations.
"""

import numpy as np
from pydantic import Field

from vccapp.data.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import MODELS, Fitting, ModelSpec, targets
from vccapp.models.perturbation_mean import PerturbationMean
from vccapp.stats.index import Index


@MODELS.register("knockdown_mean")
class KnockdownMean(PerturbationMean):
    name = "knockdown_mean"
    label = "Knock-down mean"
    description = "Perturbation mean, with each target gene set to the median share that a knock-down leaves of it."

    class Spec(ModelSpec):
        min_control_mean: float = Field(
            0.05, ge=0, description="Targets whose control mean (log1p) is below this do not inform the residual level."
        )

    residual: float  # share of control expression left on a target, 0 and up

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        super().learn(index, split, fitting)
        self._set_positions()
        ratios = [
            np.expm1(index.mean(label)[gene]) / np.expm1(self.control_mean[gene])
            for label in split.train
            for gene in self._target_positions(label)
            if self.control_mean[gene] > self.spec.min_control_mean
        ]
        if not ratios:
            msg = (
                f"None of the {len(split.train)} training perturbations targets a gene of the data with a control mean "
                f"above {self.spec.min_control_mean:g}, so there is no knock-down to learn; lower min_control_mean or "
                "train perturbation_mean."
            )
            raise SpecError(msg)
        self.residual = float(np.median(ratios))

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        """Targets that are not among the genes have nothing to set (see `coverage`): the mean alone is given."""
        deltas = super().predict_deltas(perturbations)
        for row, label in enumerate(perturbations):
            at = self._target_positions(label)
            deltas[row, at] = np.log1p(self.residual * np.expm1(self.control_mean[at])) - self.control_mean[at]
        return deltas

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"residual": np.array([self.residual])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        super().restore(state)
        self.residual = float(state["residual"][0])
        self._set_positions()

    def _set_positions(self) -> None:
        self._position = {gene: i for i, gene in enumerate(self.genes.tolist())}

    def _target_positions(self, perturbation: str) -> list[int]:
        return [self._position[gene] for gene in targets(perturbation) if gene in self._position]
