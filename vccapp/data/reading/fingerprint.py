"""A fingerprint of what a data file holds: shape, labels of cells, genes, and X.

X counts whole up to 64 MB; above that its row pointers and evenly spread blocks of values and indices do, so that the
largest file takes a second. A change of a few values of a large file may then go unseen, one of cells or genes not.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from vccapp.data.matrices.rows import DenseRows, Rows, cut, sample_blocks, spread
from vccapp.data.matrices.view import ViewedRows
from vccapp.data.schema import GROUPS
from vccapp.data.stores.files import open_matrix, reading

if TYPE_CHECKING:
    import pandas as pd

WHOLE_BYTES = 64_000_000
BLOCKS = (8, 256)
BLOCK_VALUES = 2**14


def compute_fingerprint(
    rows: Rows | ViewedRows, cells: "pd.DataFrame", genes: np.ndarray, *, control_label: str
) -> str:
    """16 hexadecimal digits of BLAKE2b. cells : perturbation, guide, batch as categories. Raises DataError."""
    digest = hashlib.blake2b(digest_size=8)

    def add(array: np.ndarray) -> None:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)

    def add_text(*texts: str) -> None:
        digest.update("\0".join((*texts, "")).encode())

    if isinstance(rows, ViewedRows):
        view, rows = rows, rows.file
        add_text(view.matrix, repr(view.transform))
        for chosen in (view.cells, view.columns):
            add(np.zeros(0) if chosen is None else chosen)
    elif rows.matrix != "X":
        add_text(rows.matrix)
    add_text(rows.layout, rows.dtype, str(rows.shape), control_label)
    add_text(*genes)
    for column in GROUPS:
        add_text(column, *cells[column].cat.categories)
        add(cells[column].cat.codes.to_numpy(np.int32))
    dense = isinstance(rows, DenseRows)
    ends = rows.stored_ends
    with reading(rows.path), open_matrix(rows.path, rows.matrix, rows.access) as x:
        arrays = [x] if dense else [x["data"], x["indices"]]
        if not dense:
            add(ends)
        if rows.n_values * np.dtype(rows.dtype).itemsize <= WHOLE_BYTES:
            ranges = cut(ends, 2**22)
        else:
            ranges = spread(ends, block=BLOCK_VALUES, n=sample_blocks(rows.inflated, *BLOCKS))
        for start, stop in ranges:
            part = slice(start, stop) if dense else slice(int(ends[start]), int(ends[stop]))
            for array in arrays:
                add(array[part])
    return digest.hexdigest()
