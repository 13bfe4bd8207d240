"""A gene embedding from the training data alone: principal components of co-expression among control cells.

Genes that rise and fall together in unperturbed cells get similar vectors. Values are log1p, centred and divided by
their standard deviation gene by gene (at least that at the MIN_SD quantile, so that the noise of hardly expressed
genes is not blown up). Cells are a bounded sample, read block by block from the index's gene-major store. It is made
once, and kept in the index.
"""

import contextlib
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from vccapp.data.atomic import write_file
from vccapp.data.embeddings.base import Embedding
from vccapp.data.schema import is_control
from vccapp.errors import DataError

WIDTH = 64
MAX_CELLS = 3000
MIN_SD = 0.25
KEPT, VERSION = "expression.npz", 1


class Cells(Protocol):
    """What is read of an index."""

    @property
    def folder(self) -> Path: ...
    @property
    def genes(self) -> Any: ...
    @property
    def cells(self) -> Any: ...
    def cell_values(self, cells: np.ndarray) -> np.ndarray: ...


def open_expression(index: Cells) -> Embedding:
    """The embedding of an index, as it is kept there or, where it is not, made and kept as far as the disk takes it."""
    path, broken = index.folder / KEPT, (OSError, ValueError, KeyError, zipfile.BadZipFile, DataError)
    with contextlib.suppress(*broken), path.open("rb") as file, np.load(file) as kept:
        if kept["version"] == VERSION:
            return _name(kept["genes"], kept["matrix"], int(kept["n_cells"]))
    genes, matrix, n_cells = embed_expression(index)
    with contextlib.suppress(OSError), write_file(path) as target, target.open("wb") as out:
        np.savez(out, version=VERSION, genes=genes, matrix=matrix, n_cells=n_cells)
    return _name(genes, matrix, n_cells)


def _name(genes: np.ndarray, matrix: np.ndarray, n_cells: int) -> Embedding:
    source = f"{matrix.shape[1]} principal components of {n_cells:,} control cells of the data."
    return Embedding(tuple(genes.tolist()), matrix, "co-expression of the controls", source)


def embed_expression(index: Cells, *, width: int = WIDTH, seed: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
    """genes (n,) that vary among the controls, (n, width) float32 and the number of controls: MAX_CELLS, by `seed`.

    Holds (n_genes, MAX_CELLS) float32. Raises DataError when the data have fewer than three control cells.
    """
    labels: pd.Series = index.cells["perturbation"]
    own = np.array([is_control(label) for label in labels.cat.categories])[labels.cat.codes]
    controls = np.flatnonzero(own)
    if len(controls) < 3:
        raise DataError(
            "no_controls",
            f"Co-expression needs more control cells than the dataset's {len(controls)}",
            fix="choose another embedding",
        )
    if len(controls) > MAX_CELLS:
        controls = np.sort(np.random.default_rng(seed).choice(controls, MAX_CELLS, replace=False))
    values = index.cell_values(controls)
    contexts = labels.cat.codes.to_numpy()[controls]
    for context in np.unique(contexts):  # genes go together within a context, not because contexts differ
        here = contexts == context if len(np.unique(contexts)) > 1 else slice(None)
        values[:, here] -= values[:, here].mean(axis=1, keepdims=True)
    sd = values.std(axis=1)
    varies = sd > 0
    values, sd = values[varies], sd[varies]
    values /= np.maximum(sd, np.quantile(sd, MIN_SD))[:, None]
    wide = values.shape[0] > values.shape[1]  # the smaller side is decomposed
    squares, vectors = np.linalg.eigh((values.T @ values if wide else values @ values.T).astype(np.float64))
    kept = min(width, int((squares > 1e-6 * squares[-1]).sum()))
    leading = vectors[:, ::-1][:, :kept]
    scores = values @ leading.astype(np.float32) if wide else leading * np.sqrt(squares[::-1][:kept])
    genes = index.genes["gene"].to_numpy(str)[varies]
    return genes, (scores / np.sqrt(len(controls))).astype(np.float32), len(controls)
