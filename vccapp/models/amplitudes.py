"""How much of a baseline's effect and of what a network adds to it is right, as the validation part says.

    effect = a baseline + b (network - baseline),    a, b = argmin sum_p |real_p - effect_p|^2 / |real_p|^2,  0 .. MAX

A network that is kept for its correlation may overshoot, and a baseline too: two numbers mend that, every held-out
perturbation counting the same. Own targets take no part: how far they are knocked down is known.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np

from vccapp.models.base import Model
from vccapp.models.knockdown import positions_of, target_positions
from vccapp.stats.index import Index

MAX = 1.5


class Amplitudes:
    """values : (2,) float64, a and b; (1, 1) leaves everything as it is."""

    def __init__(self, values: np.ndarray | None = None) -> None:
        self.values = np.ones(2) if values is None else values

    @classmethod
    def fit(cls, index: Index, perturbations: Sequence[str], baseline: Model, predicted: np.ndarray) -> Self:
        """predicted : (n, n_genes) deltas of these perturbations, the baseline's with what the network adds."""
        from scipy.optimize import lsq_linear

        labels = list(perturbations)
        base = baseline.predict(labels)
        sides = np.array([index.deltas(labels), base, predicted - base], np.float64)
        position = positions_of(baseline.genes)
        for row, label in enumerate(labels):
            sides[:, row, target_positions(label, position)] = 0
        sides /= np.maximum(np.linalg.norm(sides[0], axis=1), 1e-12)[:, None]
        real, *known = sides.reshape(3, -1)
        return cls(lsq_linear(np.stack(known, axis=1), real, bounds=(0, MAX)).x)

    def apply(self, perturbations: Sequence[str], baseline: Model, predicted: np.ndarray) -> np.ndarray:
        """(n, n_genes) float32 deltas from `predicted`, as in `fit`."""
        base = baseline.predict(list(perturbations))
        a, b = self.values.astype(np.float32)
        deltas = a * base + b * (predicted - base)
        position = positions_of(baseline.genes)
        for row, label in enumerate(perturbations):
            own = target_positions(label, position)
            deltas[row, own] = predicted[row, own]
        return deltas
