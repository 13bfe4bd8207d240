"""Compiled inner loops of reading X. Nothing here reads files. Imported where cells are streamed, never by a page.

Compiled code is cached beside this file. No loop is parallel: these run beside others, on threads, without the GIL.
"""

import numpy as np
from numba import njit

CANONICAL, REPAIRABLE, OUT_OF_RANGE = 0, 1, 2


@njit(cache=True, nogil=True)
def scan_rows(values: np.ndarray, indices: np.ndarray, indptr: np.ndarray, width: int) -> int:
    """CANONICAL, REPAIRABLE (unsorted, repeated or explicit zeros) or OUT_OF_RANGE, of CSR rows of `width` columns."""
    repairable = False
    for i in range(len(indptr) - 1):
        row, stored = indices[indptr[i] : indptr[i + 1]], values[indptr[i] : indptr[i + 1]]
        if len(row) == 0:
            continue
        falls = zeros = np.int32(0)  # counted, with unsigned subscripts: so the loops compile to vector instructions
        for j in range(np.uintp(1), np.uintp(len(row))):
            falls += np.int32(row[j] <= row[j - np.uintp(1)])
        for j in range(len(stored)):
            zeros += np.int32(stored[j] == 0)
        low, high = (row[0], row[-1]) if falls == 0 else (row.min(), row.max())
        if low < 0 or high >= width:
            return OUT_OF_RANGE
        repairable |= bool(falls + zeros > 0)
    return REPAIRABLE if repairable else CANONICAL


@njit(cache=True, nogil=True)
def unshuffle(shuffled: np.ndarray, plain: np.ndarray) -> None:
    """Undo HDF5's byte shuffle. shuffled : (item size, n) bytes; plain : (n, item size) bytes, written."""
    size, n = shuffled.shape
    for i in range(n):
        for byte in range(size):
            plain[i, byte] = shuffled[byte, i]


@njit(cache=True, nogil=True)
def count_cells(cells: np.ndarray, counts: np.ndarray) -> None:
    """Add to `counts` how often each cell occurs. Cells must be in range."""
    for cell in cells:
        counts[cell] += 1


@njit(cache=True, nogil=True)
def scatter(
    cells: np.ndarray,
    values: np.ndarray,
    indptr: np.ndarray,
    first_gene: int,
    bucket_of: np.ndarray,
    first_cell: np.ndarray,
    records: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Sort genes of a CSC matrix into buckets of cells, stably.

    cells, values : the genes' stored cells and values; indptr : (n + 1,) their pointers into these
    bucket_of : (n_cells,) bucket of each cell; first_cell : (n_buckets,)
    records, ends : written; the records by bucket, and (n_buckets + 1,) zeros on entry, where each bucket ends
    """
    for cell in cells:
        ends[bucket_of[cell] + 1] += 1
    for b in range(1, len(ends)):
        ends[b] += ends[b - 1]
    place = ends[:-1].copy()
    for g in range(len(indptr) - 1):
        for j in range(indptr[g], indptr[g + 1]):
            bucket = bucket_of[cells[j]]
            p = place[bucket]
            place[bucket] = p + 1
            records[p].cell = cells[j] - first_cell[bucket]
            records[p].gene = first_gene + g
            records[p].value = values[j]


@njit(cache=True, nogil=True)
def sort_by_cell(records: np.ndarray, place: np.ndarray, indices: np.ndarray, values: np.ndarray) -> None:
    """Records of one bucket, by gene, into CSR order. place : (n_cells,) where each cell's values begin; is used up."""
    for i in range(len(records)):
        cell = records[i].cell
        p = place[cell]
        place[cell] = p + 1
        indices[p] = records[i].gene
        values[p] = records[i].value
