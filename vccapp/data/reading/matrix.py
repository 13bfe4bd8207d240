"""A matrix of a data file as the reader that fits how it is stored: CSR, CSC or dense, in HDF5 or zarr."""

from pathlib import Path
from typing import Any

import numpy as np

from vccapp.data.matrices.csc import CscRows
from vccapp.data.matrices.rows import CsrRows, DenseRows, Rows
from vccapp.data.names.controls import plain
from vccapp.data.reading.tables import declared_shape
from vccapp.data.stores.access import CLOSED, Access
from vccapp.data.stores.files import open_store, reading
from vccapp.data.stores.layouts import find_matrix
from vccapp.data.stores.sizes import check_array, check_chunk
from vccapp.errors import DataError
from vccapp.wording import name_some

RAW = "raw/X"
"""The matrix of raw, which has genes of its own."""
COUNT_LAYERS = ("counts", "rawcounts", "raw", "umi", "umis", "spliced")


def list_matrices(store: Any) -> list[str]:
    """The matrices of cells x genes that a file holds: X, layers/NAME, raw/X."""
    there = [f"layers/{name}" for name in store["layers"]] if "layers" in store else []
    return [*(["X"] if _holds(store, "X") else []), *there, *([RAW] if _holds(store, RAW) else [])]


def _holds(store: Any, name: str) -> bool:
    """Whether there is such a matrix; anndata writes an X of None as a null."""
    return name in store and store[name].attrs.get("encoding-type") != "null"


def choose_matrix(store: Any, wanted: str | None) -> tuple[str, list[str]]:
    """Which matrix holds the cells, and a note where it is not X. Raises DataError where none can be chosen.

    Without X the only other matrix is taken, or the only one that is called counts.
    """
    there = list_matrices(store)
    if wanted is not None:
        if wanted not in there:
            raise DataError("no_matrix", f"it has no matrix '{wanted}'", fix=f"choose one of {name_some(there)}")
        return wanted, [] if wanted == "X" else [f"Values are read from {wanted}."]
    if "X" in there or not there:
        return "X", []
    named = [name for name in there if plain(name.rpartition("/")[2]) in COUNT_LAYERS]
    likely = there if len(there) == 1 else named
    if len(likely) != 1:
        raise DataError(
            "no_x", f"it has no X, but {name_some(there)}", fix="choose one of them as the matrix (--matrix)"
        )
    return likely[0], [f"The file has no X: values are read from {likely[0]}."]


def open_rows(path: Path, *, matrix: str = "X", access: Access = CLOSED) -> Rows:
    """The reader of X, of layers/NAME or of obsm/NAME. Raises DataError when it is absent or does not hold together,
    ResourceError when its row pointers or one chunk do not fit the memory.
    """
    with reading(path), open_store(path, access) as store:
        x = find_matrix(store, matrix)
        if x is None:
            layers = ", ".join(store["layers"]) if "layers" in store else ""
            found = f"but the layers {layers}" if layers else "and no layers"
            raise DataError(
                "no_x",
                f"it has no {matrix}, {found}",
                fix="write the cells there and save it again",
            )
        if hasattr(x, "shape"):
            _check_numbers(x, matrix)
            if len(x.shape) != 2:
                raise DataError(
                    "not_a_matrix",
                    f"{matrix} has {len(x.shape)} dimensions, not cells x genes",
                    fix="write a matrix there",
                )
            check_chunk(x, matrix, access.memory_bytes)
            chunk = (getattr(x, "chunks", None) or (1,))[0]
            return DenseRows(path, matrix=matrix, shape=x.shape, dtype=str(x.dtype), chunk=chunk, access=access)
        return _open_sparse(path, matrix, x, access)


def _open_sparse(path: Path, matrix: str, x: Any, access: Access) -> Rows:
    kind = x.attrs.get("encoding-type", x.attrs.get("h5sparse_format", "csr" if "barcodes" in x else None))
    kind = kind.decode() if isinstance(kind, bytes) else kind
    readers: dict[str, type[CsrRows] | type[CscRows]] = {
        "csr_matrix": CsrRows,
        "csr": CsrRows,
        "csc_matrix": CscRows,
        "csc": CscRows,
    }
    if kind not in readers:
        raise DataError(
            "unknown_layout",
            f"{matrix} is stored as '{kind}', which is neither CSR, CSC nor dense",
            fix="write it as one of these",
        )
    parts = ("data", "indices", "indptr")
    missing = [part for part in parts if part not in x or not hasattr(x[part], "shape")]
    if missing:
        raise DataError(
            "x_incomplete",
            f"{matrix} lacks its {' and '.join(missing)} and is incomplete",
            fix="write the file again",
        )
    for part in parts:
        if len(x[part].shape) != 1:
            raise DataError(
                "x_damaged",
                f"{matrix}/{part} has {len(x[part].shape)} dimensions where one is needed, so it is damaged",
                fix="write the file again",
            )
        if part != "data" and getattr(x[part].dtype, "kind", "O") not in "ui":
            raise DataError(
                "x_damaged",
                f"{matrix}/{part} holds {x[part].dtype}, not whole numbers, and is damaged",
                fix="write the file again",
            )
        check_chunk(x[part], f"{matrix}/{part}", access.memory_bytes)
    _check_numbers(x["data"], matrix)
    shape = declared_shape(x)
    if shape is None:
        raise DataError("x_damaged", f"{matrix} does not say its number of cells and genes", fix="write the file again")
    n_values, n_indices = x["data"].shape[0], x["indices"].shape[0]
    if n_values != n_indices:
        raise DataError(
            "x_damaged",
            f"{matrix} holds {n_values:,} values but {n_indices:,} indices and is damaged",
            fix="write the file again",
        )
    major, n_ends = shape[0] if readers[kind] is CsrRows else shape[1], x["indptr"].shape[0]
    if n_ends != major + 1:
        raise DataError(
            "x_damaged",
            f"{matrix} has {n_ends:,} row pointers where {major + 1:,} are needed and is damaged",
            fix="write the file again",
        )
    check_array(x["indptr"], f"{matrix}/indptr", access.memory_bytes, copies=3)
    ends = x["indptr"][:].astype(np.int64)
    if ends[0] != 0 or ends[-1] != n_values or (np.diff(ends) < 0).any():
        raise DataError(
            "x_damaged",
            f"the row pointers of {matrix} do not rise from 0 to {n_values:,}, so it is damaged",
            fix="write the file again",
        )
    chunk = (getattr(x["data"], "chunks", None) or (1,))[0]
    dtype = str(x["data"].dtype)
    return readers[kind](path, matrix=matrix, shape=shape, dtype=dtype, chunk=chunk, ends=ends, access=access)


def _check_numbers(array: Any, matrix: str) -> None:
    if getattr(array.dtype, "kind", "O") not in "buif":
        raise DataError(
            "not_numbers",
            f"{matrix} holds values of type {array.dtype}, not numbers",
            fix="write counts or log1p values there",
        )
