"""The files that the official program reads: cells, split and vectors, written from the index; and its cells read back.

Of the cells only the controls and those of the training and validation part are written: whatever the program does with
its file, it has no cell of a test perturbation. The split's TOML holds these out as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.atomic import write_file
from vccapp.data.h5ad import GrowingCsr, NewFile, create_h5, write_tables
from vccapp.data.schema import ALL, CONTROL, context_of, is_control, target_of
from vccapp.data.splits.split import Split
from vccapp.data.splits.toml import to_toml
from vccapp.errors import JobError
from vccapp.neural.arc_state.command import BATCH, CELLS, CONTEXT, HVG, PERTURBATION, Inputs
from vccapp.progress import Progress, silent
from vccapp.stats.cells.matrix import CellMatrix
from vccapp.stats.index import Index

if TYPE_CHECKING:
    from vccapp.data.embeddings import Embedding

BLOCK_VALUES = 2**23
"""Values of cells in memory at a time: 32 MB, and as much again for their copies."""
CHUNK_ROWS = 8
"""Cells in one HDF5 chunk of obsm: few, since training reads cells in any order."""
DATASET = "cells"


def seen_rows(index: Index, split: Split) -> np.ndarray:
    """Rows of the cells that the training may see, in the file's order: controls, training and validation part."""
    seen = {*index.controls, *split.train, *split.val}
    return np.flatnonzero(index.cells["perturbation"].isin(seen).to_numpy())


def write_cells(
    path: Path, index: Index, rows: np.ndarray, matrix: CellMatrix, *, inputs: Inputs, progress: Progress = silent
) -> None:
    """The cells `rows` of the data over the genes of the matrix, in log1p values."""
    cells = index.cells.iloc[rows]
    names = index.genes["gene"].to_numpy(str)[matrix.genes]
    size = max(1, BLOCK_VALUES // len(names))

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), size):
            yield matrix.rows(rows[start : start + size])
            progress(min((start + size) / len(rows), 1.0), f"Writing cells for the official program, {start:,}")

    labels, batches = cells["perturbation"].astype(str).tolist(), cells["batch"].astype(str).tolist()
    _write(path, blocks(), labels, batches, names, inputs=inputs)


def write_template(
    path: Path,
    controls: np.ndarray,
    control_labels: Sequence[str],
    batches: Sequence[str],
    wanted: Sequence[tuple[str, int]],
    genes: Sequence[str],
    *,
    inputs: Inputs,
    control: str,
) -> None:
    """What `tx infer` fills in: the control cells that it starts from, and an empty row for each cell that is wanted.

    controls : (n, n_genes) log1p, with their labels and batches; wanted : labels with numbers of cells
    control : what its network calls a control
    """
    labels = [*control_labels, *(label for label, n in wanted for _ in range(n))]
    n_blank = len(labels) - len(controls)
    size = max(1, BLOCK_VALUES // len(genes))

    def blocks() -> Iterator[np.ndarray]:
        yield controls.astype(np.float32)
        for start in range(0, n_blank, size):
            yield np.zeros((min(size, n_blank - start), len(genes)), np.float32)

    filled = [*batches, *(batches[i % len(batches)] for i in range(n_blank))]
    _write(path, blocks(), labels, filled, np.asarray(genes, str), inputs=inputs, control=control)


def _write(
    path: Path,
    blocks: Iterable[np.ndarray],
    labels: Sequence[str],
    batches: Sequence[str],
    genes: np.ndarray,
    *,
    inputs: Inputs,
    control: str = CONTROL,
) -> None:
    """An h5ad of these blocks of cells: in obsm, with an empty X beside it, or in X."""
    with write_file(path) as beside, create_h5(beside) as file:
        x = GrowingCsr(file, n_genes=len(genes))
        dense = _create_dense(file, len(labels), len(genes)) if inputs else None
        start = 0
        for block in blocks:
            if dense is None:
                stored = csr_matrix(block)
                x.append(stored.data, stored.indices, stored.indptr[1:])
            else:
                dense[start : start + len(block)] = block
                x.append(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(len(block), np.int64))
            start += len(block)
            file.check()
        x.close()
        targets = [control if is_control(label) else target_of(label) for label in labels]
        obs = pd.DataFrame(
            {
                PERTURBATION: pd.Categorical(targets),
                CONTEXT: pd.Categorical([context_of(label) or ALL for label in labels]),
                BATCH: pd.Categorical(batches),
            },
            index=[f"cell{i}" for i in range(len(labels))],
        )
        var = pd.DataFrame({"gene_name": genes.astype(object), "highly_variable": True}, index=genes.astype(object))
        write_tables(file, obs=obs, var=var, uns={"log1p": {"base": None}})


def _create_dense(file: NewFile, n_cells: int, n_genes: int) -> h5py.Dataset:
    obsm = file.create_group("obsm")
    obsm.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    made = obsm.create_dataset(HVG, (n_cells, n_genes), "<f4", chunks=(min(CHUNK_ROWS, n_cells), n_genes))
    made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return made


def write_split(path: Path, split: Split) -> None:
    """The TOML that cell-load reads, for the file `CELLS` beside it."""
    with write_file(path) as beside:
        beside.write_text(to_toml(split, dataset_name=DATASET, path=CELLS, context=ALL))


def write_features(path: Path, embedding: "Embedding", labels: Iterable[str]) -> None:
    """Vectors by name for the program: of all genes of the embedding, and of these perturbations.

    A perturbation of two genes has the sum, one without a vector the mean of all genes, the control zeros: nothing is
    left to the program, to which what is missing looks like a control.
    """
    import torch

    targets = sorted({target_of(label) for label in labels if not is_control(label)})
    rows = torch.from_numpy(np.vstack([embedding.matrix, embedding.rows(targets, missing="mean")]))
    vectors = {name: row.clone() for name, row in zip([*embedding.genes, *targets], rows, strict=True)}
    vectors[CONTROL] = torch.zeros(embedding.width)
    with write_file(path) as beside:
        torch.save(vectors, beside)


@dataclass(frozen=True)
class Filled:
    """What `tx infer` made of a template, beside whose rows it stands."""

    path: Path
    n_rows: int
    n_genes: int
    inputs: Inputs

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        """The rows from `start` on, (n, n_genes) float32. Raises JobError where they are not what was asked for."""
        try:
            with h5py.File(self.path) as file:
                found = file[f"obsm/{HVG}" if self.inputs else "X"]
                if not isinstance(found, h5py.Dataset) or found.shape != (self.n_rows, self.n_genes):
                    msg = f"no table of {self.n_rows:,} x {self.n_genes:,} values"
                    raise ValueError(msg)
                size = max(1, BLOCK_VALUES // self.n_genes)
                for first in range(start, self.n_rows, size):
                    block = found[first : first + size].astype(np.float32)
                    if not np.isfinite(block).all():
                        msg = "values that are no numbers"
                        raise ValueError(msg)
                    yield np.maximum(block, 0)
        except (OSError, KeyError, ValueError) as error:
            reason = error.args[0] if isinstance(error, ValueError) else "it cannot be read"
            raise JobError(
                "state_output", f"{self.path.name}, written by the official program, is not usable: {reason}",
                fix="see the log of the run",
            ) from None  # fmt: skip
