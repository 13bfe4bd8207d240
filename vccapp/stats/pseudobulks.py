"""Pseudobulks by label: what is read of an index that needs no single cell, and what follows from its arrays."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, control_of, is_control
from vccapp.errors import SpecError
from vccapp.wording import name_some


class Pseudobulks(Protocol):
    """What models and metrics read of an index that know perturbations by their means: no single cell."""

    @property
    def labels(self) -> list[str]: ...
    @property
    def controls(self) -> list[str]: ...
    @property
    def perturbed(self) -> list[str]: ...
    @property
    def contexts(self) -> list[str]: ...
    @property
    def genes(self) -> pd.DataFrame: ...
    @property
    def perturbations(self) -> pd.DataFrame: ...
    def array(self, name: str) -> np.ndarray: ...
    def rows(self, labels: Sequence[str]) -> list[int]: ...
    @property
    def control_mean(self) -> np.ndarray: ...
    def control_rows(self, labels: Sequence[str]) -> list[int]: ...
    def means(self, labels: Sequence[str]) -> np.ndarray: ...
    def mean(self, label: str) -> np.ndarray: ...
    def control_means(self, labels: Sequence[str]) -> np.ndarray: ...
    def deltas(self, labels: Sequence[str]) -> np.ndarray: ...
    def delta(self, label: str) -> np.ndarray: ...


class ByLabel(ABC):
    """What follows from the labels, the genes and the arrays of an index."""

    @property
    @abstractmethod
    def labels(self) -> list[str]: ...
    @property
    @abstractmethod
    def genes(self) -> pd.DataFrame: ...
    @abstractmethod
    def array(self, name: str) -> np.ndarray: ...
    @abstractmethod
    def rows(self, labels: Sequence[str]) -> list[int]: ...

    @property
    def controls(self) -> list[str]:
        """The labels of the controls, one a context."""
        return [label for label in self.labels if is_control(label)]

    @property
    def perturbed(self) -> list[str]:
        """The labels without the controls: in order, they are the last rows of every (n_perturbations, ...) array."""
        return self.labels[len(self.controls) :]

    @property
    def contexts(self) -> list[str]:
        """Names of the contexts; none where the data tell none apart."""
        return [context for label in self.controls if (context := context_of(label))]

    def means(self, labels: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 pseudobulks: mean log1p over the cells of each perturbation."""
        return self.array("mean")[self.rows(labels)]

    def mean(self, label: str) -> np.ndarray:
        return self.means([label])[0]

    @property
    def control_mean(self) -> np.ndarray:
        """(n_genes,) float32 pseudobulk of the controls. Raises SpecError where each context has its own."""
        if len(self.controls) > 1:
            raise SpecError(
                "several_contexts",
                f"Each of the {len(self.controls)} contexts has its own controls",
                fix=f"choose one of {name_some(self.contexts)}",
            )
        return self.mean(self.controls[0])

    def control_rows(self, labels: Sequence[str]) -> list[int]:
        """Row numbers of the controls of each perturbation's context."""
        return self.rows([control_of(label) for label in labels])

    def control_means(self, labels: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 pseudobulk of the controls that each perturbation is compared with; to read only."""
        rows = self.control_rows(labels)
        if len(set(rows)) == 1:
            return np.broadcast_to(self.array("mean")[rows[0]], (len(rows), len(self.genes)))
        return self.array("mean")[rows]

    def deltas(self, labels: Sequence[str]) -> np.ndarray:
        """(n, n_genes) float32 pseudobulk minus that of the controls of its context, log1p units."""
        return self.means(labels) - self.control_means(labels)

    def delta(self, label: str) -> np.ndarray:
        return self.deltas([label])[0]
