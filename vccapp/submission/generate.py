"""The cells of a submission, streamed from the training controls and a model into an h5ad: controls first, then each
perturbation in the plan's order. One perturbation is in memory at a time, at most BLOCK_VALUES stored values of it.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from vccapp.challenges.base import CHALLENGES
from vccapp.data.dataset import Dataset
from vccapp.data.schema import CONTROL
from vccapp.errors import SpecError
from vccapp.models.base import Model
from vccapp.progress import Progress, silent
from vccapp.stats.index import Index
from vccapp.submission.gene_list import find_columns, read_gene_list
from vccapp.submission.h5ad import CsrWriter
from vccapp.submission.plan import BLOCK_VALUES, Plan

READ_VALUES = 4_000_000
"""Stored values read and normalised at a time."""


def generate(
    plan: Plan, dataset: Dataset, index: Index, model: Model, out_h5ad: Path, *, progress: Progress = silent
) -> None:
    """Write the plan's cells to `out_h5ad` (log1p float32 CSR, genes in the gene list's order).

    Raises SpecError when the plan is of other data, or the model makes values that no submission may have.
    """
    if plan.dataset != index.meta["fingerprint"] or plan.dataset != dataset.fingerprint:
        msg = (
            f"The plan is of the data {plan.dataset}, those open are {dataset.fingerprint}; plan the submission again."
        )
        raise SpecError(msg)
    challenge = CHALLENGES[plan.challenge]
    training_genes = index.genes["gene"].tolist()
    genes = read_gene_list(plan.genes).genes if plan.genes is not None else tuple(training_genes)
    columns = find_columns(genes, training_genes)
    cells = index.cells
    controls = cells[(cells["perturbation"] == CONTROL).to_numpy()].assign(row=lambda frame: frame.index.to_numpy())
    total, done = plan.estimate.n_cells, 0
    with CsrWriter(out_h5ad, genes=genes, pert_col=challenge.pert_col) as writer:
        for label, n_cells in plan.cells_in_order.items():
            drawn = draw_controls(controls, n_cells, label=label, seed=plan.seed)
            for part in _split(drawn, BLOCK_VALUES if label != CONTROL else READ_VALUES):
                progress(done / total, f"{done:,} of {total:,} cells; making {label}")
                block = read_log1p(dataset, index, part)
                if label != CONTROL:
                    block = _check(model.cells(label, block), label, shape=block.shape)
                writer.append(_order(block, columns), challenge.control_label if label == CONTROL else label)
                done += len(part)
        progress(1.0, f"{total:,} cells are made")


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
    blocks = [index.normalise(dataset.read_rows(part["row"].to_numpy())) for part in _split(cells, READ_VALUES)]
    return blocks[0] if len(blocks) == 1 else vstack(blocks, format="csr")


def _split(cells: pd.DataFrame, max_values: int) -> Iterator[pd.DataFrame]:
    """Nearly equal parts of at most about `max_values` detected genes; at least one cell each."""
    n_parts = min(len(cells), -(-int(cells["genes"].sum()) // max_values)) or 1
    for rows in np.array_split(np.arange(len(cells)), n_parts):
        yield cells.iloc[rows]


def _check(block: csr_matrix, label: str, *, shape: tuple[int, int]) -> csr_matrix:
    """The model's cells, or SpecError: a file with such values would be refused hours later."""
    low, high = (block.data.min(), block.data.max()) if block.nnz else (0.0, 0.0)
    if block.shape != shape or not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        msg = (
            f"The model's cells for {label} cannot be submitted: {block.shape[0]:,} x {block.shape[1]:,} values from "
            f"{low:.3g} to {high:.3g}, wanted {shape[0]:,} x {shape[1]:,} finite ones of 0 or more; train it again."
        )
        raise SpecError(msg)
    return block


def _order(block: csr_matrix, columns: np.ndarray | None) -> csr_matrix:
    """Genes in the list's order; rows sorted by gene, without explicit zeros, float32."""
    block = (block if columns is None else block[:, columns]).astype(np.float32, copy=False)
    block.eliminate_zeros()
    block.sort_indices()
    return block
