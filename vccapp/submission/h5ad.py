"""The file of a prediction, opened for its checks (`vccapp.data.h5ad.CsrWriter` writes one).

cells = open_cells(path, "target_gene")
for start, block in cells.blocks(): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.matrices.rows import Rows
from vccapp.data.reading.matrix import open_rows
from vccapp.data.reading.tables import check_shape, read_tables
from vccapp.data.schema import Layout
from vccapp.data.stores.files import check_path, reading
from vccapp.errors import CheckError, DataError
from vccapp.wording import name_some

READ_VALUES = 2**22
"""Stored values in one block that is read: about 50 MB with the copies that checks make."""


@dataclass(frozen=True)
class Cells:
    """An opened prediction. Made by `open_cells`; nothing of X is read before `blocks`.

    labels : (n_cells,) categorical of the season's column; genes : (n_genes,) text
    contexts : (n_cells,) categorical of the season's column of contexts; None where there is none
    """

    rows: Rows
    labels: pd.Categorical
    genes: list[str]
    contexts: pd.Categorical | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.shape

    @property
    def layout(self) -> Layout:
        return self.rows.layout

    @property
    def dtype(self) -> np.dtype:
        """Of the stored values."""
        return np.dtype(self.rows.dtype)

    @property
    def n_values(self) -> int:
        return self.rows.n_values

    def blocks(self, *, max_values: int = READ_VALUES) -> Iterator[tuple[int, csr_matrix]]:
        """Blocks of whole cells in order: first row, csr as stored (explicit zeros and odd values stay)."""
        for start, block in self.rows.iter_stored(max_values):
            odd = block.dtype == np.float16 or not block.dtype.isnative  # scipy cannot take rows of these
            yield start, block.astype(np.promote_types(block.dtype, np.float32) if odd else block.dtype, copy=False)


def open_cells(path: Path, pert_col: str, context_col: str | None = None) -> Cells:
    """Open a prediction. Raises DataError when it cannot be read, CheckError when it lacks what a prediction has."""
    with reading(path):
        if check_path(path).kind != "hdf5":
            raise DataError(
                "not_hdf5", "it is a zarr store, but a submission is an .h5ad file", fix="write it with write_h5ad"
            )
        obs, var, _ = read_tables(path)
        if pert_col not in obs:
            raise CheckError(
                "no_column",
                f"obs of {path.name} has no column '{pert_col}'",
                found=list(obs.columns),
                fix=f"it has {name_some(obs.columns)}. Rename it",
            )
        rows = open_rows(path)
        check_shape(rows, obs, var)
    contexts = _categories(obs[context_col]) if context_col in obs else None
    return Cells(rows, _categories(obs[pert_col]), [str(gene) for gene in var.index], contexts)


def _categories(column: pd.Series) -> pd.Categorical:
    """As text, but for what is missing."""
    return pd.Categorical(column.astype("str").where(column.notna()))
