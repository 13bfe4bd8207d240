"""A data file as a lazy, checked handle: opening reads obs, var, the row pointers and a sample of X, never all of X.

    dataset = open_dataset(Path("cells.h5ad"))
    dataset.schema.value_space, dataset.cells.perturbation, dataset.genes
    for start, block in dataset.iter_rows(): ...

A handle keeps no file open: it can be pickled, or made anew from path and columns, in a worker process.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.matrices.rows import Rows
from vccapp.data.matrices.view import Reader, ViewedRows
from vccapp.data.reading.fingerprint import compute_fingerprint
from vccapp.data.schema import Columns, Schema
from vccapp.data.stores.access import Access
from vccapp.errors import DataError


class Dataset(ABC):
    """Cells with a checked schema. Made by `open_dataset`.

    rows : the reader of X
    genes : (n_genes,) str; cells : n_cells rows, perturbation, guide and batch as categories, controls named CONTROL;
    obs_columns : the columns that the file offers; simulated : whether the file says that its cells are made up.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        columns: Columns,
        rows: Reader,
        genes: np.ndarray,
        cells: pd.DataFrame,
        obs_columns: Sequence[str],
        simulated: bool,
    ) -> None:
        self.schema = schema
        self.columns = columns
        self.genes = genes
        self.cells = cells
        self.obs_columns = tuple(map(str, obs_columns))
        self.simulated = simulated
        self.rows = rows

    @property
    def path(self) -> Path:
        return self.schema.path

    @property
    @abstractmethod
    def paths(self) -> tuple[Path, ...]:
        """All files of the dataset."""

    @property
    @abstractmethod
    def kept(self) -> tuple[np.ndarray | None, ...]:
        """Of each file, the rows that are cells of the dataset; None: all."""

    @property
    @abstractmethod
    def sources(self) -> tuple[Path, ...]:
        """What is read of each: the file itself, or the copy that it was converted to."""

    @property
    @abstractmethod
    def access(self) -> Access:
        """What it was opened with."""

    @property
    def n_cells(self) -> int:
        return self.schema.n_cells

    @property
    def n_genes(self) -> int:
        return self.schema.n_genes

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell the content, wherever the file lies."""
        return self._compute_fingerprint()

    @abstractmethod
    def _compute_fingerprint(self) -> str: ...

    def require_usable(self) -> None:
        """Raises DataError where statistics and models cannot work with the values."""
        if self.schema.value_space == "scaled":
            raise DataError(
                "scaled_values",
                f"{self.path.name}: X holds scaled values",
                fix="statistics need counts or log1p values; store those in X",
            )

    def iter_rows(
        self, *, max_values: int = 2**24, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        """Cells in order as (start row, (some cells, genes) float32 CSR), at most `max_values` values at a time.

        All cells, or those from `first` to `last` - 1.
        Values as stored; canonical, no explicit zeros. A large CSC file is first copied (see vccapp.data.matrices.csc).
        """
        return self.rows.iter_rows(max_values, first=first, last=last)

    def iter_values(
        self, *, max_values: int = 2**24, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """The same cells as (start row, values float32, (rows + 1,) int64 where each cell's values begin and end).

        For sums over a cell, at half of the cost of `iter_rows`: genes are not read. Values may be zero, or in parts.
        """
        return self.rows.iter_values(max_values, first=first, last=last)

    def read_rows(self, rows: Sequence[int] | np.ndarray) -> csr_matrix:
        """The cells in the order asked, repeats allowed: (len(rows), genes) float32 CSR."""
        return self.rows.read_rows(rows)


class FileDataset(Dataset):
    """One data file."""

    rows: Rows | ViewedRows

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,)

    @property
    def kept(self) -> tuple[np.ndarray | None, ...]:
        return (self.rows.cells if isinstance(self.rows, ViewedRows) else None,)

    @property
    def sources(self) -> tuple[Path, ...]:
        return (self._file.path,)

    @property
    def access(self) -> Access:
        return self._file.access

    @property
    def _file(self) -> Rows:
        return self.rows.file if isinstance(self.rows, ViewedRows) else self.rows

    def _compute_fingerprint(self) -> str:
        return compute_fingerprint(self.rows, self.cells, self.genes, control_label=self.schema.control_label)
