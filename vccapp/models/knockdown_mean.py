"""The mean effect with the target knocked down: perturbation mean, and the target gene set to its residual level.

Source: the CRISPR-informed mean of Wong et al., Bioinformatics 41(6), 2025; `vccapp.models.parts.knockdown` says how.
Other averages in place of the mean err less: the median over perturbations, and the mean m of n effects of variance v
shrunk to m max(0, 1 - v / (n m^2)), by gene (James & Stein 1961, positive part).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from vccapp.data.schema import positions_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import GUESSED, MODELS, Fitting, ModelSpec
from vccapp.models.parts.knockdown import MIN_CONTROL_MEAN, measure_residual, set_targets
from vccapp.models.perturbation_mean import PerturbationMean
from vccapp.models.saving import ModelState
from vccapp.stats.per_context import PerContext
from vccapp.stats.pseudobulks import Pseudobulks


def shrink_mean(effects: np.ndarray) -> np.ndarray:
    """(n_genes,) of (n, n_genes) effects, see the module; their mean where there is one."""
    mean, n = effects.mean(axis=0, dtype=np.float64), len(effects)
    if n < 2:
        return mean
    noise = effects.var(axis=0, ddof=1, dtype=np.float64) / n
    return mean * np.maximum(0, 1 - np.divide(noise, mean**2, out=np.ones_like(mean), where=mean != 0))


AVERAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "median": lambda effects: np.median(effects, axis=0),
    "shrunken": shrink_mean,
}


@MODELS.register("knockdown_mean")
class KnockdownMean(PerturbationMean):
    name = "knockdown_mean"
    label = "Knock-down mean"
    description = (
        "Perturbation mean, with each target gene set to the median share of expression that a knock-down leaves."
    )
    purpose = "The baseline for silenced or activated genes: the mean effect, with each target set to its usual level."
    use = "Baseline"
    order = 11
    known_as = GUESSED

    class Spec(ModelSpec):
        average: Literal["mean", "median", "shrunken"] = Field(
            "mean",
            title="Average",
            description="Of the training effects, by gene. median and shrunken (to 0, the more it is uncertain) give a "
            "lower MAE.",
        )
        min_control_mean: float = Field(
            MIN_CONTROL_MEAN,
            ge=0,
            title="Minimum control mean",
            description="Targets with a control mean (log1p) below this are not used to estimate the "
            "remaining expression.",
        )

    spec: Spec
    residual: float  # share of control expression left on a target, 0 and up

    def learn(self, index: Pseudobulks, split: Split, fitting: Fitting) -> None:
        super().learn(index, split, fitting)
        if self.spec.average != "mean":
            average, contexts = AVERAGES[self.spec.average], self.control_means.contexts
            place, effects = np.array(self.control_means.places(split.train)), index.deltas(list(split.train))
            own = [effects[place == context] for context in range(max(len(contexts), 1))]
            rows = [average(found if len(found) else effects) for found in own]  # as the mean does
            self.mean_delta = PerContext(contexts, np.stack(rows).astype(np.float32))
        self.check_inputs(index, split, device=fitting.device)

    def check_inputs(self, index: Pseudobulks, split: Split, *, device: str) -> None:
        least = self.spec.min_control_mean
        residual = measure_residual(index, split.train, position=positions_of(self.genes), min_control_mean=least)
        if residual is None:
            raise SpecError(
                "no_measured_target",
                f"None of the {len(split.train)} training perturbations targets a gene of the data with a "
                f"control mean above {least:g}, so there is no knock-down to learn",
                fix="lower min_control_mean or train perturbation_mean",
            )
        self.residual = residual

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        """Targets that are not among the genes have nothing to set (see `coverage`): the mean alone is given."""
        deltas = super().predict_deltas(perturbations)
        position = positions_of(self.genes)
        control = self.control_means.of(perturbations)
        set_targets(deltas, perturbations, residual=self.residual, control=control, position=position)
        return deltas

    def state(self) -> ModelState:
        return super().state() | ModelState(meta={"residual": self.residual})

    def restore(self, state: ModelState) -> None:
        super().restore(state)
        self.residual = state.meta["residual"]
