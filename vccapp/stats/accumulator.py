"""Sums over cells, gene by gene: the one streaming pass of the index, in a form that can be merged.

Every cell counts for its perturbation (one of two random halves, for the noise ceiling), its guide and its batch.
Adding cells in any order, or merging the accumulators of any partition of them, gives the same sums to rounding.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.schema import CONTROL

SUM, SQUARES, LOG_SUM, LOG_SQUARES = range(4)
"""The last axis of `moments`: sums of stored values and their squares, of log1p values and their squares."""


@dataclass(frozen=True)
class Grouping:
    """Which accumulator rows each cell counts for.

    rows : (n_cells, 4) int32: perturbation half, guide, batch, and 0 for a control or 1 for any other cell
    perturbations, guides, batches : labels in the order of their rows, the control first among perturbations
    """

    rows: np.ndarray
    perturbations: list[str]
    guides: list[str]
    batches: list[str]

    @property
    def n_rows(self) -> int:
        return 2 * len(self.perturbations) + len(self.guides) + len(self.batches)

    @classmethod
    def of_cells(cls, cells: pd.DataFrame, *, seed: int) -> "Grouping":
        """cells : columns perturbation, guide, batch. Halves are drawn within each perturbation by `seed`."""
        names = cells["perturbation"].astype(str)
        perturbations = [CONTROL, *sorted(set(names) - {CONTROL})]
        code = pd.Categorical(names, categories=perturbations).codes.astype(np.int64)
        shuffled = np.random.default_rng(seed).permutation(len(code))
        turn = pd.Series(code[shuffled]).groupby(code[shuffled]).cumcount().to_numpy()
        half = np.empty(len(code), np.int64)
        half[shuffled] = turn % 2
        guide, guides = pd.factorize(cells["guide"].astype(str), sort=True)
        batch, batches = pd.factorize(cells["batch"].astype(str), sort=True)
        first_guide = 2 * len(perturbations)
        first_batch = first_guide + len(guides)
        rows = np.stack([2 * code + half, first_guide + guide, first_batch + batch, (code > 0).astype(int)], axis=1)
        return cls(rows.astype(np.int32), perturbations, list(guides), list(batches))


class Accumulator:
    """Sums of the cells added so far.

    moments : (n_rows, n_genes, 4) float64, see SUM .. LOG_SQUARES
    nonzero : (2, n_genes) cells that have the gene, among controls and among all others
    largest, smallest : (n_genes,) over the stored, non-zero values
    """

    def __init__(self, grouping: Grouping, n_genes: int) -> None:
        self.grouping = grouping
        self.moments = np.zeros((grouping.n_rows, n_genes, 4))
        self.nonzero = np.zeros((2, n_genes), np.int64)
        self.largest = np.zeros(n_genes)
        self.smallest = np.full(n_genes, np.inf)

    @staticmethod
    def bytes_needed(grouping: Grouping, n_genes: int) -> int:
        return grouping.n_rows * n_genes * 32 + n_genes * 32

    def add(self, block: csr_matrix, start: int, scaling: np.ndarray) -> None:
        """Add the cells `start ..` with stored values `block` ((n, n_genes), sorted indices) and their `scaling`."""
        from vccapp.stats import kernels

        rows = self.grouping.rows[start : start + block.shape[0]]
        order = np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))
        logs = kernels.log_rows(block.data, block.indptr, scaling)
        kernels.add_rows(
            block.data,
            logs,
            block.indices,
            block.indptr,
            rows,
            order,
            gene_ranges(block.shape[1]),
            self.moments,
            self.nonzero,
            self.largest,
            self.smallest,
        )

    def merge(self, other: "Accumulator") -> None:
        """Add the sums of `other`, made with the same grouping over other cells."""
        self.moments += other.moments
        self.nonzero += other.nonzero
        np.maximum(self.largest, other.largest, out=self.largest)
        np.minimum(self.smallest, other.smallest, out=self.smallest)

    def rows_of(self, kind: str) -> np.ndarray:
        """moments of `kind`: perturbation (two halves added up), half (2, ...), guide, batch."""
        n = 2 * len(self.grouping.perturbations)
        halves = self.moments[:n].reshape(n // 2, 2, *self.moments.shape[1:])
        match kind:
            case "perturbation":
                return halves.sum(axis=1)
            case "half":
                return halves.swapaxes(0, 1)
            case "guide":
                return self.moments[n : n + len(self.grouping.guides)]
            case "batch":
                return self.moments[n + len(self.grouping.guides) :]
        raise ValueError(kind)


def gene_ranges(n_genes: int, n_parts: int = 16) -> np.ndarray:
    """Edges of `n_parts` ranges of genes that threads take."""
    return np.linspace(0, n_genes, min(n_parts, n_genes) + 1).astype(np.int64)
