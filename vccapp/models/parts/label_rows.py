"""What a network knows of a perturbation: one row of numbers for each label, from a gene embedding or a table.

rows = EmbeddedRows(Features.open("default", index))       # the sum over the targets, and how many there are
rows = TableRows(names, matrix)                            # rows of their own, e.g. one-hot over training targets
rows.of(labels, missing="mean"), rows.count_known(labels)
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from vccapp.data.schema import CONTROL, is_control, positions_of, target_of
from vccapp.errors import SpecError
from vccapp.models.base import targets
from vccapp.models.parts.features import Features
from vccapp.models.saving import ModelState

Missing = Literal["mean", "error"]


class EmbeddedRows:
    """Vectors of the targets summed, and the number of targets: without that, an unknown gene would look like none."""

    def __init__(self, features: Features) -> None:
        self.features = features

    @property
    def width(self) -> int:
        return self.of([], missing="mean").shape[1]

    def of(self, labels: Sequence[str], *, missing: Missing) -> np.ndarray:
        """(n, d + 1) float32; a target without a vector counts as the mean gene, or is a SpecError."""
        counts = np.array([len(targets(label)) for label in labels], np.float32)
        return np.hstack([self.features.rows(labels, missing=missing), counts[:, None]])

    def count_known(self, labels: Sequence[str]) -> list[int]:
        return self.features.count_known(labels)

    def state(self) -> ModelState:
        return self.features.state()


class TableRows:
    """A row a name; a label of several genes that has no row of its own is the sum of theirs."""

    def __init__(self, names: Sequence[str], matrix: np.ndarray, *, control: str = CONTROL) -> None:
        self.names, self.matrix, self.control = tuple(names), np.asarray(matrix, np.float32), control
        self._row = positions_of(self.names)
        perturbed = [i for i, name in enumerate(self.names) if name != control]
        self._mean = self.matrix[perturbed].mean(axis=0)

    @classmethod
    def one_hot(cls, labels: Sequence[str]) -> "TableRows":
        """Over the targets of `labels`."""
        genes = sorted({gene for label in labels for gene in targets(label)})
        return cls(genes, np.eye(len(genes), dtype=np.float32))

    @property
    def width(self) -> int:
        return self.matrix.shape[1]

    def of(self, labels: Sequence[str], *, missing: Missing) -> np.ndarray:
        """(n, d) float32. The control without a row is zeros; a gene without one is the mean row, or a SpecError."""
        lacking = [label for label, n in zip(labels, self.count_known(labels), strict=True) if n < len(targets(label))]
        if missing == "error" and lacking:
            raise SpecError(
                "never_seen",
                f"The model has no row for {', '.join(lacking[:5])} ({len(lacking):,} perturbations), because "
                "it was not trained on them",
                fix="use a gene embedding, or missing = mean",
            )
        out = np.zeros((len(labels), self.matrix.shape[1]), np.float32)
        for i, label in enumerate(labels):
            whole = self._row.get(self.control if is_control(label) else target_of(label))
            rows = [whole] if whole is not None else [self._row.get(gene) for gene in targets(label)]
            for row in rows:
                out[i] += self._mean if row is None else self.matrix[row]
        return out

    def count_known(self, labels: Sequence[str]) -> list[int]:
        """Targets of each that have a row."""
        return [
            len(targets(label)) if target_of(label) in self._row else sum(gene in self._row for gene in targets(label))
            for label in labels
        ]

    def state(self) -> ModelState:
        return ModelState({"rows": self.matrix}, {"control": self.control, "row_names": self.names})


def restore_rows(state: ModelState) -> EmbeddedRows | TableRows:
    """What `state` of either gave."""
    if "rows" not in state.arrays:
        return EmbeddedRows(Features.restore(state))
    return TableRows(state.meta["row_names"], state.arrays["rows"], control=state.meta["control"])
