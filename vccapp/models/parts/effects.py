"""What the closed-form models share: a mean effect, what a model adds to it, and the knocked-down target.

    delta(p) = m_p * mean_effect(context of p) + deviation(p),    then its targets are set to their residual level

m_p is the number of genes that p targets, so the effects of two genes add up. The mean effect is that of the whole
training part, also of what the model knows nothing of; it learns and predicts deviations alone. Own targets are masked
in each training perturbation (`vccapp.models.parts.knockdown`).
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vccapp.data.schema import positions_of, target_of
from vccapp.data.splits.split import Split
from vccapp.errors import SpecError
from vccapp.models.base import Fitting, Model, targets
from vccapp.models.parts.knockdown import mask_targets, measure_residual, set_targets
from vccapp.models.saving import ModelState
from vccapp.stats.index import Index
from vccapp.stats.per_context import PerContext

MIN_TRAINED = 3
"""Perturbations below which nothing can be told from noise."""


class EffectModel(Model):
    """A model of deviations from the mean effect."""

    groups: np.ndarray  # (n,) of the perturbations learnt from, see `group_alike`; only while it learns
    mean_effect: PerContext  # (n_contexts, n_genes) float32, of one silenced gene, log1p units
    residual: float | None  # share of control expression left on a target; None where it could not be measured

    def learn(self, index: Index, split: Split, fitting: Fitting) -> None:
        labels = list(split.train)
        used = self._find_usable(index, labels)
        position = positions_of(self.genes)
        self.residual = measure_residual(index, labels, position=position)
        effects = mask_targets(index.deltas(labels), labels, position=position)
        counts = count_targets(labels)

        self.mean_effect = fit_mean(self.control_means.contexts, labels, effects, counts)
        row = positions_of(labels)
        rows = [row[label] for label in used]
        learnt, own = effects[rows], counts[rows]
        if len(used) < len(labels):  # deviations sum to 0 over what is learnt from; the mean effect is that of all
            known = fit_mean(self.control_means.contexts, used, learnt, own)
            learnt = learnt + self.mean_effects(used) - own[:, None] * known.of(used)
        self.groups = group_alike(used, split)
        self.learn_deviations(used, learnt, index, fitting)

    def check_inputs(self, index: Index, split: Split, *, device: str) -> None:
        self._find_usable(index, list(split.train))

    def _find_usable(self, index: Index, labels: list[str]) -> list[str]:
        """The perturbations that can be learnt from. Raises what `lack` gives for too few."""
        self.prepare(index)
        used = [label for label, known in zip(labels, self.count_known(labels), strict=True) if known]
        if len(used) < min(MIN_TRAINED, len(labels)) or not used:
            raise self.lack(labels, used)
        return used

    def predict_deltas(self, perturbations: list[str]) -> np.ndarray:
        deltas = self.mean_effects(perturbations) + self.predict_deviations(perturbations)
        position = positions_of(self.genes)
        control = self.control_means.of(perturbations)
        set_targets(deltas, perturbations, residual=self.residual, control=control, position=position)
        return deltas

    def mean_effects(self, perturbations: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32: the mean effect of their context, times the genes that each targets."""
        return count_targets(perturbations)[:, None] * self.mean_effect.of(perturbations)

    def coverage(self, perturbations: Sequence[str]) -> pd.DataFrame:
        """As the base class; n_known counts the targets that the prediction depends on, beyond their knock-down."""
        frame = super().coverage(perturbations)
        return frame.assign(n_known=self.count_known(list(perturbations)))

    def state(self) -> ModelState:
        return ModelState({"mean_effect": self.mean_effect.stored()}, {"residual": self.residual})

    def restore(self, state: ModelState) -> None:
        self.mean_effect = PerContext(self.control_means.contexts, np.atleast_2d(state.arrays["mean_effect"]))
        self.residual = state.meta["residual"]

    def lack(self, labels: Sequence[str], used: Sequence[str]) -> SpecError:
        """Too few training perturbations can be learnt from: why, and what to do."""
        return SpecError(
            "nothing_to_learn",
            f"{self.label} can learn from {len(used)} of the {len(labels)} training perturbations",
            found=len(used),
            fix="move more perturbations to train, or choose another model",
        )

    @abstractmethod
    def prepare(self, index: Index) -> None:
        """Get what `count_known` needs, before anything is learnt."""

    @abstractmethod
    def count_known(self, perturbations: Sequence[str]) -> list[int]:
        """Targets of each perturbation that the model has something to go by. None known: the mean effect."""

    @abstractmethod
    def learn_deviations(self, labels: list[str], effects: np.ndarray, index: Index, fitting: Fitting) -> None:
        """Learn from masked effects (n, n_genes) of perturbations with a known target; `mean_effect` is set."""

    @abstractmethod
    def predict_deviations(self, perturbations: list[str]) -> np.ndarray:
        """(n, n_genes) to be added to the mean effect; zeros where no target is known."""


def fit_mean(contexts: Sequence[str], labels: Sequence[str], effects: np.ndarray, counts: np.ndarray) -> PerContext:
    """The effect of one silenced gene in each context, by least squares; counts : (n,) genes that each label targets"""

    def fit(own: np.ndarray | slice) -> np.ndarray:
        return (counts[own] @ effects[own] / (counts[own] @ counts[own])).astype(np.float32)

    return PerContext.summed_up(contexts, labels, fit)


def group_alike(labels: Sequence[str], split: Split) -> np.ndarray:
    """(n,) numbers of what is to be left out together, so that it is as unknown as what the split holds out.

    The same targets in several contexts are a group: in another context they tell the very effect. Each label is its
    own where training knows targets that are held out, from other contexts say.
    """
    names = [target_of(label) for label in labels]
    asked = {target_of(label) for label in (*split.val, *split.test)}
    return pd.factorize(np.array(names if asked.isdisjoint(names) else labels, dtype=object))[0]


def count_targets(perturbations: Sequence[str]) -> np.ndarray:
    """(n,) float32 number of genes that each targets."""
    return np.array([len(targets(label)) for label in perturbations], np.float32)
