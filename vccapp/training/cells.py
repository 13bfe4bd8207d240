"""The cells that a model predicts, streamed: what a submission and a scorer are made of.

    for label, cells in iter_cells(dataset, index, model, {CONTROL: 500, "STAT1": 200}, seed=0):
        cells.block          # csr, log1p values
        cells.to_counts(rng) # whole counts, at the depth of the control cells they were made from

Control cells are those of the data. Predicted cells are made from control cells drawn by seed and label; at most
BLOCK_VALUES stored values of one perturbation are in memory.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import CONTROL, control_of, is_control
from vccapp.errors import SpecError
from vccapp.stats.index import Index

BLOCK_VALUES = 28_000_000
"""Stored values that one predicted block may have. Making one peaks at 250 MB and 26 bytes a value (measured on
2,925 cells x 8,679 values: 0.91 GB), so it stays below 1 GB."""
READ_VALUES = 4_000_000
"""Stored values read and normalised at a time."""
NEARLY_WHOLE = 1e-2
"""Counts this near to a whole number are that number: float32 logarithms of counts up to 10,000 come back so."""


class Predictor(Protocol):
    """What makes cells of control cells: a model, or one that is aligned to other data (`AlignedModel`)."""

    @property
    def makes_cells(self) -> bool: ...
    def predict(self, perturbations: Sequence[str]) -> np.ndarray: ...
    def cell_blocks(
        self, perturbation: str, controls: Iterable[tuple[csr_matrix, np.ndarray]]
    ) -> Iterator[tuple[csr_matrix, np.ndarray]]: ...


@dataclass(frozen=True)
class CellBlock:
    """Cells of one label: (n, n_genes) float32 csr of log1p values, and what one unit of expm1 is worth in counts.

    scaling : (n,) float32, all zero where the data hold no counts
    """

    block: csr_matrix
    scaling: np.ndarray

    def to_counts(self, rng: np.random.Generator) -> csr_matrix:
        """Whole counts: expm1(x) times the cell's scaling, rounded up with the probability of the fraction."""
        values = np.expm1(self.block.data.astype(np.float64)) * np.repeat(self.scaling, np.diff(self.block.indptr))
        whole = np.rint(values)
        fraction = np.abs(values - whole) > np.maximum(NEARLY_WHOLE, 1e-6 * values)
        whole[fraction] = np.floor(values[fraction] + rng.random(np.count_nonzero(fraction)))
        counts = csr_matrix((whole.astype(np.float32), self.block.indices, self.block.indptr), shape=self.block.shape)
        counts.eliminate_zeros()
        return counts


def iter_cells(
    dataset: Dataset,
    index: Index,
    model: Predictor,
    cells: Mapping[str, int],
    *,
    seed: int,
    predict_controls: bool = False,
) -> Iterator[tuple[str, CellBlock]]:
    """Blocks of `cells` per label, in that order: the model's, but for controls the data's own unless told otherwise.

    Cells of a perturbation are made from the controls of its context.

    Raises SpecError when the model makes values that no file may have.
    """
    controls = {label: find_controls(index, label) for label in dict.fromkeys(map(control_of, cells))}
    for label, n_cells in cells.items():
        drawn = draw_controls(controls[control_of(label)], n_cells, label=label, seed=seed)
        copied = is_control(label) and not predict_controls
        parts = list(split_cells(drawn, READ_VALUES if copied else BLOCK_VALUES))
        blocks = ((read_log1p(dataset, index, part), part["scaling"].to_numpy()) for part in parts)
        made = blocks if copied else model.cell_blocks(label, blocks)
        for part, (block, scaling) in zip(parts, made, strict=True):
            _check(block, label, shape=(len(part), len(index.genes)))
            yield label, CellBlock(block, scaling)


def find_controls(index: Index, label: str = CONTROL) -> pd.DataFrame:
    """The control cells of this label: batch, genes (detected), row in the data, scaling."""
    cells = index.cells
    return cells.assign(row=cells.index.to_numpy(), scaling=index.array("scaling"))[cells["perturbation"] == label]


def draw_controls(controls: pd.DataFrame, n: int, *, label: str, seed: int) -> pd.DataFrame:
    """`n` rows of `controls` (batch, ...) in the file's order, each batch in its share to within one cell.

    No control is taken twice before all are taken once. The draw depends on `seed` and `label` alone, not on which
    other perturbations there are.
    """
    rng = np.random.default_rng([seed, zlib.crc32(label.encode())])
    whole, rest = divmod(n, len(controls))
    by_batch = rng.permutation(len(controls))
    by_batch = by_batch[np.argsort(controls["batch"].cat.codes.to_numpy()[by_batch], kind="stable")]
    every = np.floor((np.arange(rest) + rng.random()) * len(controls) / max(rest, 1)).astype(int)
    return controls.iloc[np.sort(np.concatenate([np.tile(np.arange(len(controls)), whole), by_batch[every]]))]


def read_log1p(dataset: Dataset, index: Index, cells: pd.DataFrame) -> csr_matrix:
    """The stored cells (row, genes, ...) as log1p values: (n, n_genes) csr float32, rows sorted, no explicit zeros."""
    rows = [part["row"].to_numpy() for part in split_cells(cells, READ_VALUES)]
    blocks = [index.normalise(dataset.read_rows(own), own) for own in rows]
    return blocks[0] if len(blocks) == 1 else vstack(blocks, format="csr")


def split_cells(cells: pd.DataFrame, max_values: int) -> Iterator[pd.DataFrame]:
    """Nearly equal parts of at most about `max_values` detected genes; at least one cell each."""
    n_parts = min(len(cells), -(-int(cells["genes"].sum()) // max_values)) or 1
    for rows in np.array_split(np.arange(len(cells)), n_parts):
        yield cells.iloc[rows]


def order_genes(block: csr_matrix, columns: np.ndarray | None) -> csr_matrix:
    """Genes in the order of `columns` (None: as they are); rows sorted by gene, without explicit zeros, float32."""
    block = (block if columns is None else block[:, columns]).astype(np.float32, copy=False)
    block.eliminate_zeros()
    block.sort_indices()
    return block


def _check(block: csr_matrix, label: str, *, shape: tuple[int, int]) -> None:
    """SpecError for cells that a file may not hold: it would be refused hours later."""
    low, high = (block.data.min(), block.data.max()) if block.nnz else (0.0, 0.0)
    if block.shape != shape or not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise SpecError(
            "bad_cells",
            f"The model's cells for {label} cannot be submitted: {block.shape[0]:,} x {block.shape[1]:,} "
            f"values from {low:.3g} to {high:.3g}, wanted {shape[0]:,} x {shape[1]:,} finite ones of 0 or more",
            fix="train it again",
        )
