"""Predicted deltas made ready to be calibrated, so that one setting after the other is quick.

    prepared = Prepared.of(labels, deltas, basis, control=control_means, genes=genes)
    prepared.apply(Setting(amplitude=0.8))            # (n, n_genes) float32 deltas

    rest' = amplitude * (1 - shrinkage (1 - reliability)) * (I - V'V) (rest - shared * m_p * mean effect)

`rest` is a prediction without the own targets of its perturbation, which take no part and are set apart: as predicted,
or at their level. V are the leading components of the controls of its context, m_p is the number of its targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vccapp.data.schema import positions_of
from vccapp.models.calibration.basis import Basis
from vccapp.models.calibration.setting import Setting
from vccapp.models.parts.effects import count_targets
from vccapp.models.parts.knockdown import own_targets


@dataclass(frozen=True)
class Prepared:
    """rest : (n, n_genes) float32, 0 at own targets; shared : likewise, m_p times the mean effect

    own : row and column of every own target; predicted, control : (own,) float32 delta and mean log1p of the controls
    places : (n,) the context of each row
    """

    rest: np.ndarray
    shared: np.ndarray
    own: tuple[np.ndarray, np.ndarray]
    predicted: np.ndarray
    control: np.ndarray
    places: np.ndarray
    basis: Basis

    @classmethod
    def of(
        cls, labels: Sequence[str], deltas: np.ndarray, basis: Basis, *, control: np.ndarray, genes: np.ndarray
    ) -> "Prepared":
        """deltas, control : (n, n_genes) float32"""
        own = own_targets(labels, positions_of(genes))
        rest = np.array(deltas, np.float32)
        shared = count_targets(labels)[:, None] * basis.shared.of(labels)
        rest[own] = shared[own] = 0
        places = np.array(basis.shared.places(labels), np.int64)
        return cls(rest, shared, own, np.asarray(deltas, np.float32)[own], control[own], places, basis)

    def apply(self, setting: Setting) -> np.ndarray:
        """(n, n_genes) float32. The neutral setting gives the prediction back, bit for bit."""
        deltas = self.shape_rest(setting)
        deltas[self.own] = self.set_own(setting)
        return deltas

    def shape_rest(self, setting: Setting) -> np.ndarray:
        """A new (n, n_genes) float32 array, 0 at own targets."""
        from vccapp.models.calibration.kernels import shape_rest

        factor = setting.amplitude * (1 - setting.shrinkage * (1 - self.basis.reliability.astype(np.float64)))
        out = np.empty_like(self.rest)
        for place in np.unique(self.places):
            here = np.flatnonzero(self.places == place)
            own = slice(None) if len(here) == len(self.places) else here
            weights = (self._along[0] - setting.shared * self._along[1])[own, : setting.components]
            components = self.basis.components[place][: setting.components]
            out[own] = shape_rest(self.rest[own], self.shared[own], setting.shared, weights, components, factor)
        out[self.own] = 0
        return out

    @cached_property
    def _along(self) -> np.ndarray:
        """(2, n, k) float64: how far the rest, and the shared part, lie along each component of their context."""
        components = self.basis.components.astype(np.float64)
        out = np.empty((2, len(self.rest), components.shape[1]))
        for place in np.unique(self.places):
            here = self.places == place
            for i, part in enumerate((self.rest, self.shared)):
                out[i, here] = part[here].astype(np.float64) @ components[place].T
        return out

    def set_own(self, setting: Setting) -> np.ndarray:
        """(own,) float32 deltas of own targets."""
        if setting.target_level is None:
            return self.predicted
        return np.log1p(setting.target_level * np.expm1(self.control)) - self.control
