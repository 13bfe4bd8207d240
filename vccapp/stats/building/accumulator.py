"""Sums over cells, gene by gene: the one streaming pass of the index, in a form that can be merged.

A cell counts for its stratum (perturbation and guide) and its batch, and, when it was drawn for the first of two random
halves, for that half of its perturbation (for reliability and limits). Adding cells in any order, or merging the
accumulators of any partition of them, gives the same sums to rounding.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.atomic import save_array, write_folder
from vccapp.data.schema import control_of, is_control, positions_of, sort_labels
from vccapp.stats.normalise import log_values
from vccapp.stats.store import gene_ranges

SUM, SQUARES, LOG_SUM, LOG_SQUARES = range(4)
"""The last axis of moments: sums of stored values and of their squares, of log1p values and of their squares."""

LARGEST, SMALLEST, LINEAR_SUM, LINEAR_SQUARES = range(4)
"""The last axis of `Accumulator.genes`: over stored values, then over depth-normalised values before log1p."""

SUMS = ("moments", "halves", "genes", "nonzero")


@dataclass(frozen=True)
class Grouping:
    """Which sums each cell counts for.

    rows : (n_cells, 4) int32: stratum; batch, numbered after the strata; perturbation if the cell is in the first half,
    else -1; 0 for a control, 1 for any other cell
    perturbation : (n_cells,) number of each cell's perturbation
    perturbations, guides, batches : labels in order, the controls first, those of each context
    control : (n_perturbations,) number of the controls that each perturbation is compared with, which is its context's
    strata : (n_strata, 2) perturbation and guide of each stratum
    """

    rows: np.ndarray
    perturbation: np.ndarray
    control: np.ndarray
    perturbations: list[str]
    guides: list[str]
    batches: list[str]
    strata: np.ndarray

    @classmethod
    def of_cells(cls, cells: pd.DataFrame, *, seed: int) -> "Grouping":
        """cells : columns perturbation, guide, batch. Halves are drawn within each perturbation by `seed`."""
        names = cells["perturbation"].astype(str)
        perturbations = sort_labels(names)
        number = positions_of(perturbations)
        control = np.array([number[control_of(label)] for label in perturbations])
        n_controls = sum(map(is_control, perturbations))
        code = pd.Categorical(names, categories=perturbations).codes.astype(np.int64)
        guide, guides = pd.factorize(cells["guide"].astype(str), sort=True)
        batch, batches = pd.factorize(cells["batch"].astype(str), sort=True)
        pairs, stratum = np.unique(code * len(guides) + guide, return_inverse=True)
        shuffled = np.random.default_rng(seed).permutation(len(code))
        turn = np.empty(len(code), np.int64)
        turn[shuffled] = pd.Series(code[shuffled]).groupby(code[shuffled]).cumcount()
        half = np.where(turn % 2 == 0, code, -1)
        rows = np.stack([stratum, len(pairs) + batch, half, code >= n_controls], axis=1).astype(np.int32)
        strata = np.stack(np.divmod(pairs, len(guides)), axis=1)
        return cls(rows, code, control, perturbations, list(guides), list(batches), strata)

    @property
    def n_contexts(self) -> int:
        return int(self.control.max()) + 1

    @cached_property
    def context(self) -> np.ndarray:
        """(n_cells,) number of each cell's context: that of its controls."""
        return self.control[self.perturbation]


class Accumulator:
    """Sums of the cells added so far.

    moments : (n_strata + n_batches, n_genes, 4) float64, see SUM .. LOG_SQUARES
    halves : (n_perturbations, n_genes, 2) float64: sums of stored and of log1p values over the first half
    genes : (n_contexts, n_genes, 4) float64, see LARGEST .. LINEAR_SQUARES; extremes over the stored, non-zero values
    nonzero : (n_contexts, n_genes, 2) cells that have the gene, among controls and among all others
    """

    def __init__(self, grouping: Grouping, n_genes: int) -> None:
        self.grouping = grouping
        self.moments = np.zeros((len(grouping.strata) + len(grouping.batches), n_genes, 4))
        self.halves = np.zeros((len(grouping.perturbations), n_genes, 2))
        self.genes = np.zeros((grouping.n_contexts, n_genes, 4))
        self.genes[..., SMALLEST] = np.inf
        self.nonzero = np.zeros((grouping.n_contexts, n_genes, 2), np.int64)

    def add(self, block: csr_matrix, start: int, scaling: np.ndarray) -> None:
        """Add the cells `start ..` with stored values `block` ((n, n_genes), sorted indices) and their `scaling`."""
        from vccapp.stats import kernels

        cells = slice(start, start + block.shape[0])
        rows, contexts = self.grouping.rows[cells], self.grouping.context[cells]
        tables = log_values(np.arange(kernels.TABLE, dtype=np.float32), scaling[:, None])
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        for context in np.unique(contexts):
            kernels.add_rows(
                block.data,
                block.indices,
                block.indptr,
                scaling,
                tables,
                rows,
                order[contexts[order] == context],
                gene_ranges(block.shape[1]),
                self.moments,
                self.halves,
                self.genes[context],
                self.nonzero[context],
            )

    def merge(self, other: "Accumulator") -> None:
        """Add the sums of `other`, made with the same grouping over other cells."""
        self.moments += other.moments
        self.halves += other.halves
        self.nonzero += other.nonzero
        self.genes[..., LINEAR_SUM:] += other.genes[..., LINEAR_SUM:]
        np.maximum(self.genes[..., LARGEST], other.genes[..., LARGEST], out=self.genes[..., LARGEST])
        np.minimum(self.genes[..., SMALLEST], other.genes[..., SMALLEST], out=self.genes[..., SMALLEST])

    def save(self, folder: Path) -> None:
        """Write the sums to `folder`, atomically."""
        with write_folder(folder) as beside:
            for name in SUMS:
                save_array(beside / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path, grouping: Grouping) -> "Accumulator":
        """What `save` wrote, memory-mapped: to read only."""
        loaded = cls.__new__(cls)
        loaded.grouping = grouping
        for name in SUMS:
            setattr(loaded, name, np.load(folder / f"{name}.npy", mmap_mode="r"))
        return loaded

    def perturbation_moments(self) -> np.ndarray:
        """(n_perturbations, n_genes, 4)."""
        return _add_strata(self.moments, self.grouping.strata[:, 0], len(self.grouping.perturbations))

    def guide_log_sums(self) -> np.ndarray:
        """(n_guides, n_genes) sums of log1p values."""
        return _add_strata(self.moments[..., LOG_SUM], self.grouping.strata[:, 1], len(self.grouping.guides))

    def batch_log_sums(self) -> np.ndarray:
        """(n_batches, n_genes) sums of log1p values."""
        return self.moments[len(self.grouping.strata) :, :, LOG_SUM]


def _add_strata(sums: np.ndarray, member: np.ndarray, n: int) -> np.ndarray:
    out = np.zeros((n, *sums.shape[1:]))
    for stratum, group in enumerate(member):
        out[group] += sums[stratum]
    return out


def sums_bytes(*, n_strata: int, n_batches: int, n_perturbations: int, n_contexts: int, n_genes: int) -> int:
    """Bytes of an Accumulator."""
    return 16 * n_genes * (2 * (n_strata + n_batches) + n_perturbations + 3 * n_contexts)
