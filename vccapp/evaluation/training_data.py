"""What the training data say of a prediction: the depth of their cells and the profile of their controls.

data = TrainingData.of(index)
run_checks(path, season, data=data)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vccapp.data.schema import CONTROL, label_in
from vccapp.evaluation.quality import Depth

if TYPE_CHECKING:
    from vccapp.stats.index import Index


@dataclass(frozen=True)
class TrainingData:
    """logs, counts : by context ("" where there is one), (genes,) means of the control cells' log1p values and of
    their counts; no counts where the data hold log1p values. depths : what the cells of each sum to
    """

    genes: tuple[str, ...]
    depths: Mapping[str, float]
    logs: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, index: "Index") -> "TrainingData":
        names = index.contexts or [""]
        whole = {name: index.within(name or None) for name in names}
        counted = index.meta["value_space"] == "counts"
        return cls(
            genes=tuple(index.genes["gene"].astype(str)),
            depths=dict(zip(names, map(float, index.meta["target_sums"]), strict=True)),
            logs={name: index.mean(label_in(CONTROL, name or None)).astype(np.float64) for name in names},
            counts={n: own.genes["ctrl_mean"].to_numpy(np.float64) for n, own in whole.items()} if counted else {},
        )

    def places(self, genes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Where the genes of a file that the data have stand in the file, and in the data."""
        own = {gene: place for place, gene in enumerate(self.genes)}
        found = [(place, own[gene]) for place, gene in enumerate(genes) if gene in own]
        return np.array([a for a, _ in found], np.int64), np.array([b for _, b in found], np.int64)

    def depth(self, genes: Sequence[str]) -> Depth | None:
        """What cells of a file with these genes should sum to; None where most of them are not among the data's."""
        _, here = self.places(genes)
        if len(here) < len(genes) / 2:
            return None
        total = float(np.mean(list(self.depths.values())))
        if len(here) < len(self.genes):
            means = np.expm1(np.mean(list(self.logs.values()), axis=0))
            total *= float(means[here].sum() / means.sum())
        return Depth(total, "the training data have")
