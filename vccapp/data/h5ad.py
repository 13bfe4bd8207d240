"""Writing an h5ad of any size: X as CSR by blocks of cells, then the tables (encodings of anndata 0.12).

    with CsrWriter(path, genes=genes, pert_col="target_gene") as writer:   # a prediction: cells of one label at a time
        writer.append(block, "non-targeting")

    with h5py.File(path, "w") as file:                                     # anything else
        x = GrowingCsr(file, n_genes=n_genes)
        x.append(block.data, block.indices, block.indptr[1:])
        x.close()
        write_tables(file, obs=obs, var=var, uns={})

Unlike anndata's own files, X/data and X/indices are chunked, since they grow; readers do not see it.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

CHUNK = 2**18
"""Values in one HDF5 chunk of X: 1 MB."""


class GrowingCsr:
    """The group X of a new file: float32 values, int32 indices; row pointers are int32 while they suffice."""

    def __init__(self, file: h5py.File, *, n_genes: int, compression: Literal["gzip"] | None = None) -> None:
        self._group, self._n_genes = file.create_group("X"), n_genes
        layout = {"shape": (0,), "maxshape": (None,), "chunks": (CHUNK,), "compression": compression}
        self._data = self._group.create_dataset("data", dtype="<f4", **layout)
        self._indices = self._group.create_dataset("indices", dtype="<i4", **layout)
        self._n_values = 0
        self._ends: list[np.ndarray] = [np.zeros(1, np.int64)]

    def append(self, values: np.ndarray, indices: np.ndarray, ends: np.ndarray) -> None:
        """Add cells. ends : (n,) where the values of each cell end in this block."""
        start, stop = self._n_values, self._n_values + len(values)
        for dataset, block in ((self._data, values), (self._indices, indices)):
            dataset.resize((stop,))
            dataset[start:] = block
        self._ends.append(start + ends.astype(np.int64))
        self._n_values = stop

    def close(self) -> None:
        """Write the row pointers and the shape."""
        indptr = np.concatenate(self._ends)
        self._group["indptr"] = indptr.astype("<i4" if self._n_values < 2**31 else "<i8")
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        self._group.attrs["shape"] = np.array([len(indptr) - 1, self._n_genes], np.int64)


def write_tables(file: h5py.File, *, obs: pd.DataFrame, var: pd.DataFrame, uns: dict[str, Any]) -> None:
    """Write all of an AnnData file but X; groups that the file has already are left as they are, the rest is empty."""
    from anndata.io import write_elem

    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    rest: dict[str, dict[str, Any]] = {name: {} for name in ("layers", "obsm", "obsp", "varm", "varp")}
    empty = {name: value for name, value in rest.items() if name not in file}
    for name, value in {"obs": obs, "var": var, "uns": uns, **empty}.items():
        write_elem(file, name, value)


class CsrWriter:
    """Append csr blocks with their label; the file is complete when the `with` block ends well."""

    def __init__(self, path: Path, *, genes: Sequence[str], pert_col: str) -> None:
        self._file = h5py.File(path, "w")
        self._genes, self._pert_col = list(genes), pert_col
        self._labels: list[str] = []
        self._x = GrowingCsr(self._file, n_genes=len(self._genes))

    def append(self, block: csr_matrix, label: str) -> None:
        """Add cells of one label: (n, n_genes) csr, rows sorted by gene and without explicit zeros."""
        if block.shape[1] != len(self._genes):
            msg = f"A block of {block.shape[1]} genes does not fit a file of {len(self._genes)}."
            raise ValueError(msg)
        self._x.append(block.data, block.indices, block.indptr[1:])
        self._labels += [label] * block.shape[0]

    def _finish(self) -> None:
        self._x.close()
        names = np.arange(len(self._labels)).astype(str)
        obs = pd.DataFrame({self._pert_col: pd.Categorical(self._labels)}, index=names)
        write_tables(self._file, obs=obs, var=pd.DataFrame(index=np.array(self._genes, dtype=object)), uns={})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()
