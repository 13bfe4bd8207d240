"""The h5ad of a prediction, read by blocks of cells (`vccapp.data.h5ad.CsrWriter` writes one).

with open_cells(path, "target_gene") as cells:
    for start, block in cells.blocks(): ...
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.errors import CheckError

READ_VALUES = 2**22
"""Stored values in one block that is read: about 50 MB with the copies that checks make."""


class Cells:
    """A prediction file, open for reading. Nothing of X is read before `blocks`.

    labels : (n_cells,) categorical of `pert_col`; genes : (n_genes,) text
    layout : csr, csc or dense, as stored; dtype : of the stored values
    """

    def __init__(self, file: h5py.File, *, path: Path, pert_col: str) -> None:
        from anndata.io import read_elem

        for name in ("X", "obs", "var"):
            if name not in file:
                raise CheckError(
                    "tables_missing",
                    f"{path.name} has no {name}",
                    fix="write it as an AnnData file with X, obs and var",
                )
        obs, var, x = read_elem(file["obs"]), read_elem(file["var"]), file["X"]
        if pert_col not in obs:
            raise CheckError(
                "no_column",
                f"obs of {path.name} has no column '{pert_col}'",
                fix=f"it has {', '.join(obs.columns) or 'none'}. Rename it",
            )
        self.path = path
        self.genes: list[str] = [str(gene) for gene in var.index]
        self.labels = pd.Categorical(obs[pert_col].astype("str").where(obs[pert_col].notna()))
        self.layout: str = (
            str(x.attrs.get("encoding-type")).removesuffix("_matrix") if isinstance(x, h5py.Group) else "dense"
        )
        values = x["data"] if self.layout != "dense" else x
        self.shape: tuple[int, int] = tuple(int(n) for n in (x.attrs["shape"] if self.layout != "dense" else x.shape))
        self.dtype, self.n_values = values.dtype, int(values.size)
        self._x = x
        if self.dtype.kind not in "fiu":
            raise CheckError(
                "not_numbers",
                f"X of {path.name} holds {self.dtype} and no numbers",
                fix="write log1p values as float32",
            )
        if self.shape != (len(obs), len(var)):
            raise CheckError(
                "shape_mismatch",
                f"X of {path.name} is {self.shape[0]:,} x {self.shape[1]:,}, obs and var have {len(obs):,} and "
                f"{len(var):,} rows",
                fix="write the file again",
            )

    def blocks(self, *, max_values: int = READ_VALUES) -> Iterator[tuple[int, csr_matrix]]:
        """Blocks of whole cells in order: first row, csr as stored (explicit zeros and odd values stay)."""
        if self.layout == "csc":
            raise CheckError(
                "unknown_layout",
                f"X of {self.path.name} is stored by gene (CSC) and cannot be read by cell",
                fix="write it as CSR",
            )
        n_cells, n_genes = self.shape
        if self.layout == "dense":
            step = max(1, max_values // max(n_genes, 1))
            for start in range(0, n_cells, step):
                yield start, csr_matrix(self._x[start : start + step])
            return
        indptr = self._x["indptr"][:].astype(np.int64)
        lengths = np.diff(indptr)
        if len(indptr) != n_cells + 1 or indptr[0] != 0 or indptr[-1] != self.n_values or (lengths < 0).any():
            raise CheckError(
                "x_damaged",
                f"The row pointers of X in {self.path.name} do not fit its values",
                fix="write the file again",
            )
        start = 0
        while start < n_cells:
            stop = max(start + 1, int(np.searchsorted(indptr, indptr[start] + max_values, side="right")) - 1)
            span = slice(indptr[start], indptr[stop])
            indices = self._x["indices"][span]
            if len(indices) and (indices.min() < 0 or indices.max() >= n_genes):
                worst = indices.min() if indices.min() < 0 else indices.max()
                raise CheckError(
                    "x_damaged",
                    f"X of {self.path.name} has column {worst:,} of {n_genes:,} genes",
                    fix="write the file again",
                )
            pointers = (indptr[start : stop + 1] - span.start).astype(np.int32)
            yield start, csr_matrix((self._x["data"][span], indices, pointers), shape=(stop - start, n_genes))
            start = stop


@contextlib.contextmanager
def open_cells(path: Path, pert_col: str) -> Iterator[Cells]:
    """Open a prediction file. Raises CheckError when it is no h5ad, or lacks what a prediction has."""
    try:
        file = h5py.File(path)
    except OSError as error:
        reason = "it does not exist" if not path.exists() else str(error).split("(")[-1].rstrip(")")
        raise CheckError(
            "file_unreadable",
            f"{path.name} cannot be opened as h5ad ({reason})",
            fix="give a complete .h5ad file",
        ) from None
    with file:
        try:
            cells = Cells(file, path=path, pert_col=pert_col)
        except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise CheckError(
                "file_unreadable",
                f"{path.name} is not a readable AnnData file ({reason})",
                fix="write it again with anndata",
            ) from None
        try:
            yield cells
        except OSError as error:
            raise CheckError(
                "file_damaged",
                f"{path.name} is damaged ({str(error).splitlines()[0]})",
                fix="write it again",
            ) from None
