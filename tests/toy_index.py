"""A dataset's index in memory: what models and comparisons read of it, with pseudobulks made up."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vccapp.data.schema import CONTROL


class ToyIndex:
    """Controls and `labels` over `genes`; pseudobulks are random, or as given: (1 + labels, genes) log1p."""

    def __init__(
        self, labels: Sequence[str], genes: Sequence[str], *, means: np.ndarray | None = None, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.labels = [CONTROL, *labels]
        self.genes = pd.DataFrame({"gene": list(genes)})
        shape = (len(self.labels), len(self.genes))
        self._means = (rng.gamma(1.0, 0.5, shape) if means is None else np.asarray(means)).astype(np.float32)
        self.perturbations = pd.DataFrame({"perturbation": self.labels, "degs": range(len(self.labels))})

    def means(self, labels: Sequence[str]) -> np.ndarray:
        return self._means[[self.labels.index(label) for label in labels]]

    def mean(self, label: str) -> np.ndarray:
        return self.means([label])[0]

    @property
    def control_mean(self) -> np.ndarray:
        return self.mean(CONTROL)

    def deltas(self, labels: Sequence[str]) -> np.ndarray:
        return self.means(labels) - self.control_mean

    def delta(self, label: str) -> np.ndarray:
        return self.deltas([label])[0]
