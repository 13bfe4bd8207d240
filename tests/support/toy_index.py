"""A dataset's index in memory: what models and comparisons read of it, with pseudobulks made up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.schema import CONTROL, control_of
from vccapp.stats.pseudobulks import ByLabel, Pseudobulks


class ToyIndex(ByLabel):
    """Controls and `labels` over `genes`; pseudobulks are random, or as given: (1 + labels, genes) log1p."""

    labels: list[str] = []
    genes = pd.DataFrame()

    def __init__(
        self, labels: Sequence[str], genes: Sequence[str], *, means: np.ndarray | None = None, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.labels = [*dict.fromkeys(map(control_of, labels)), *labels] or [CONTROL]
        self.folder = Path("datasets", "toy", "index")
        self.meta = {"fingerprint": "toy", "value_space": "counts"}
        self.genes = pd.DataFrame({"gene": list(genes)})
        shape = (len(self.labels), len(self.genes))
        self._means = (rng.gamma(1.0, 0.5, shape) if means is None else np.asarray(means)).astype(np.float32)
        n_cells = np.full(len(self.labels), 100)
        self.genes["highly_variable"] = False
        self.perturbations = pd.DataFrame(
            {"perturbation": self.labels, "degs": range(len(self.labels)), "n_cells": n_cells}
        )
        self.perturbations["effect"] = np.linalg.norm(self._means, axis=1)
        self.perturbations["knockdown"] = 0.1
        noise = rng.normal(0, 0.01, (2, *shape)).astype(np.float32)
        p_value = rng.uniform(0, 1, shape)
        self._arrays = {
            "mean": self._means,
            "variance": np.abs(self._means),
            "half_mean": self._means + noise,
            "de/p_value": p_value,
            "de/fdr": p_value.astype(np.float32),
            "de/lfc_2025": rng.normal(0, 1, shape).astype(np.float32),
        }

    def array(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def rows(self, labels: Sequence[str]) -> list[int]:
        return [self.labels.index(label) for label in labels]


_: type[Pseudobulks] = ToyIndex  # for mypy: it stands in for an index wherever pseudobulks are enough
