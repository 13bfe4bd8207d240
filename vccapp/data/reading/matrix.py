"""X of a data file as the reader that fits how it is stored: CSR, CSC or dense, in HDF5 or zarr."""

from pathlib import Path
from typing import Any

import numpy as np

from vccapp.data.reading.csc import CscRows
from vccapp.data.reading.files import open_store, reading
from vccapp.data.reading.rows import CsrRows, DenseRows, Rows
from vccapp.errors import DataError


def open_rows(path: Path) -> Rows:
    """The reader of X in the file. Raises DataError when X is absent or does not hold together."""
    with reading(path), open_store(path) as store:
        if "X" not in store:
            layers = ", ".join(store["layers"]) if "layers" in store else ""
            found = f"but the layers {layers}" if layers else "and no layers"
            msg = f"it has no X, {found}; write the counts to X and save it again."
            raise DataError(msg)
        x = store["X"]
        if hasattr(x, "shape"):
            _check_numbers(x)
            if len(x.shape) != 2:
                msg = f"X has {len(x.shape)} dimensions, not cells x genes; write a matrix to X."
                raise DataError(msg)
            return DenseRows(path, shape=x.shape, dtype=str(x.dtype), chunk=(getattr(x, "chunks", None) or (1,))[0])
        return _open_sparse(path, x)


def _open_sparse(path: Path, x: Any) -> Rows:
    kind = x.attrs.get("encoding-type", x.attrs.get("h5sparse_format"))
    kind = kind.decode() if isinstance(kind, bytes) else kind
    readers = {"csr_matrix": CsrRows, "csr": CsrRows, "csc_matrix": CscRows, "csc": CscRows}
    if kind not in readers:
        msg = f"X is stored as '{kind}', which is neither CSR, CSC nor dense; write it as one of these."
        raise DataError(msg)
    missing = [part for part in ("data", "indices", "indptr") if part not in x]
    if missing:
        msg = f"X lacks its {' and '.join(missing)} and is incomplete; write the file again."
        raise DataError(msg)
    _check_numbers(x["data"])
    shape = tuple(int(n) for n in x.attrs.get("shape", x.attrs.get("h5sparse_shape")))
    n_values, n_indices = x["data"].shape[0], x["indices"].shape[0]
    if n_values != n_indices:
        msg = f"X holds {n_values:,} values but {n_indices:,} indices and is damaged; write the file again."
        raise DataError(msg)
    ends = x["indptr"][:].astype(np.int64)
    major = shape[0] if readers[kind] is CsrRows else shape[1]
    if len(ends) != major + 1:
        msg = f"X has {len(ends):,} row pointers where {major + 1:,} are needed and is damaged; write the file again."
        raise DataError(msg)
    if ends[0] != 0 or ends[-1] != n_values or (np.diff(ends) < 0).any():
        msg = f"the row pointers of X do not rise from 0 to {n_values:,}, so it is damaged; write the file again."
        raise DataError(msg)
    chunk = (getattr(x["data"], "chunks", None) or (1,))[0]
    return readers[kind](path, shape=shape, dtype=str(x["data"].dtype), chunk=chunk, ends=ends)


def _check_numbers(array: Any) -> None:
    if getattr(array.dtype, "kind", "O") not in "buif":
        msg = f"X holds values of type {array.dtype}, not numbers; write counts or log1p values to X."
        raise DataError(msg)
