"""From the genes that a network models to all genes: a ridge map between deltas, learnt on the training perturbations.

    delta_other = mean_other + (delta_modelled - mean_modelled) W,    W by ridge regression over perturbations

Effects of a perturbation move genes together, so the modelled ones tell of the others. The penalty is the one that
predicts each training perturbation best from the others (closed form, see `vccapp.models.ridge`).
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from vccapp.stats.pseudobulks import Pseudobulks

PENALTIES = np.concatenate([np.geomspace(1e-4, 1e3, 22), [np.inf]])
"""Choices, in units of the mean eigenvalue; an infinite one gives the mean delta of the others."""


class FullGenes:
    """Completes deltas. In the space of perturbations, so as small as the training deltas themselves."""

    def __init__(self, modelled: np.ndarray, n_genes: int, arrays: dict[str, np.ndarray]) -> None:
        self.modelled = modelled  # positions of the modelled genes
        self.others = np.setdiff1d(np.arange(n_genes), modelled)
        self._arrays = arrays  # known (n, modelled) centred, weights (n, others), the two means; all float32

    @classmethod
    def fit(cls, index: Pseudobulks, perturbations: Sequence[str], modelled: np.ndarray) -> Self:
        """modelled : positions of genes, each once."""
        deltas = index.deltas(list(perturbations))
        others = np.setdiff1d(np.arange(deltas.shape[1]), modelled)
        known, wanted = deltas[:, modelled], deltas[:, others]
        means = known.mean(axis=0), wanted.mean(axis=0)
        known, wanted = known - means[0], wanted - means[1]
        values, vectors = np.linalg.eigh(known.astype(np.float64) @ known.T)
        values = np.maximum(values, 0)
        penalty = _choose_penalty(values, vectors, wanted)
        solved = (vectors / (values + penalty)) @ (vectors.T @ wanted)
        arrays = {"known": known, "weights": solved, "known_mean": means[0], "rest_mean": means[1]}
        return cls(modelled, deltas.shape[1], {name: array.astype(np.float32) for name, array in arrays.items()})

    def complete(self, deltas: np.ndarray, *, shift: np.ndarray | None = None) -> np.ndarray:
        """(n, n_genes) float32 from deltas (n, modelled).

        shift : (n, n_genes) deltas that another model predicts; then it is what these deltas say beyond it that is
        carried over to the others
        """
        arrays = self._arrays
        whole = np.empty((len(deltas), len(self.modelled) + len(self.others)), np.float32)
        whole[:, self.modelled] = deltas
        if shift is None:
            start, beyond = arrays["rest_mean"], deltas - arrays["known_mean"]
        else:
            start, beyond = shift[:, self.others], deltas - shift[:, self.modelled]
        whole[:, self.others] = start + (beyond @ arrays["known"].T) @ arrays["weights"]
        return whole

    def arrays(self) -> dict[str, np.ndarray]:
        return self._arrays | {"modelled": self.modelled.astype(np.int64)}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Take back what `arrays` gave."""
        own = {name: array for name, array in arrays.items() if name != "modelled"}
        modelled = arrays["modelled"]
        return cls(modelled, len(modelled) + own["weights"].shape[1], own)


def _choose_penalty(values: np.ndarray, vectors: np.ndarray, wanted: np.ndarray) -> float:
    """The penalty with the least squared error of leaving each perturbation out; the mean is left out with it."""
    n = len(values)
    gram = wanted.astype(np.float64) @ wanted.T
    errors = []
    penalties = PENALTIES * max(float(values.mean()), 1e-12)
    for penalty in penalties:
        smoother = (vectors * (values / (values + penalty))) @ vectors.T
        left_over = np.eye(n) - smoother
        left = np.einsum("ij,jk,ik->i", left_over, gram, left_over, optimize=True)
        free = np.maximum(1 - np.diag(smoother) - 1 / n, 1e-9)
        errors.append((left / free**2).sum())
    return float(penalties[int(np.argmin(errors))])
