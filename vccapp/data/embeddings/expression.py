"""A gene embedding from the training data alone: principal components of co-expression among control cells.

Genes that rise and fall together in unperturbed cells get similar vectors. Values are log1p, centred and divided by
their standard deviation gene by gene (at least that at the MIN_SD quantile, so that the noise of hardly expressed
genes is not blown up). Cells are a bounded sample, read block by block from the index's gene-major store.
"""

from typing import Any, Protocol

import numpy as np
import pandas as pd

from vccapp.data.embeddings.base import Embedding
from vccapp.data.schema import is_control
from vccapp.errors import DataError

WIDTH = 64
MAX_CELLS = 3000
MIN_SD = 0.25


class Cells(Protocol):
    """What is read of an index."""

    @property
    def genes(self) -> Any: ...
    @property
    def cells(self) -> Any: ...
    def cell_values(self, cells: np.ndarray) -> np.ndarray: ...


def embed_expression(index: Cells, *, width: int = WIDTH, seed: int = 0) -> Embedding:
    """One vector for each gene that varies among the controls; at most MAX_CELLS controls, drawn by `seed`.

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
    squares, vectors = np.linalg.eigh((values.T @ values).astype(np.float64))
    kept = min(width, int((squares > 1e-6 * squares[-1]).sum()))
    scores = values @ vectors[:, ::-1][:, :kept].astype(np.float32)
    genes = tuple(index.genes["gene"].to_numpy(str)[varies].tolist())
    source = f"{kept} principal components of {len(controls):,} control cells of the data."
    return Embedding(genes, scores / np.sqrt(len(controls)), "co-expression of the controls", source)
