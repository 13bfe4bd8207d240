"""What checks want of every stored value, in one pass over a block: compiled, on all threads, cached beside this file.

facts = scan_block(block, weights=weights, limit=15.0, decimals=1e-3, fraction=1e-6)
add_sums(sums, block, codes, in_order=not facts.counted["disorder"])
"""

import math
import os
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from numba import njit, prange  # noqa: E402

LARGEST = 50.0
"""Values that no logarithm reaches; higher ones count as this in the totals of expm1."""
PARTS = 8
"""Of the genes: as many threads can add at once."""
COUNTED = ("not_finite", "negative", "zeros", "disorder", "decimals", "fractions", "above")


@dataclass(frozen=True)
class Facts:
    """Of a block. totals, logs : (n,) float64, sums of the values and of their expm1, of the finite ones
    signatures : (n,) float64, equal for equal cells; counted : how many values are each of COUNTED
    highest, lowest : of the finite values, 0 without
    """

    totals: np.ndarray
    logs: np.ndarray
    signatures: np.ndarray
    counted: dict[str, int]
    highest: float
    lowest: float


def scan_block(block: csr_matrix, *, weights: np.ndarray, limit: float, decimals: float, fraction: float) -> Facts:
    """weights : (genes,) of the signatures; limit : values from it on are `above`
    decimals, fraction : positive fractions above the one, and distances from whole numbers above the other, are counted
    """
    found = _scan(_native(block.data), block.indices, block.indptr, weights, limit, decimals, fraction)
    totals, logs, signatures, counted, bounds = found
    return Facts(
        totals,
        logs,
        signatures,
        dict(zip(COUNTED, counted.sum(axis=0).tolist(), strict=True)),
        float(bounds[:, 1].max(initial=0.0)),
        float(bounds[:, 0].min(initial=0.0)),
    )


@njit(parallel=True, cache=True, nogil=True)
def _scan(
    data: np.ndarray,
    genes: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    limit: float,
    decimals: float,
    fraction: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n = len(ends) - 1
    totals, logs, signatures = np.zeros(n), np.zeros(n), np.zeros(n)
    counted, bounds = np.zeros((n, 7), np.int64), np.zeros((n, 2))
    for i in prange(n):
        total, log, signature, low, high = 0.0, 0.0, 0.0, 0.0, 0.0
        not_finite, negative, zeros, disorder, with_decimals, fractions, above = 0, 0, 0, 0, 0, 0, 0
        before = np.int64(-1)
        for j in range(np.uintp(ends[i]), np.uintp(ends[i + 1])):
            gene = np.int64(genes[j])
            disorder += 1 if gene <= before else 0
            before = gene
            x = np.float64(data[j])
            signature += x * weights[gene]
            above += 1 if x >= limit else 0
            if not math.isfinite(x):
                not_finite += 1
                continue
            total += x
            part = x - np.trunc(x)
            with_decimals += 1 if part > decimals else 0
            fractions += 1 if abs(part) > fraction else 0
            if x <= 0:
                negative += 1 if x < 0 else 0
                zeros += 1 if x == 0 else 0
                low = min(low, x)
            else:
                high = max(high, x)
                log += math.exp(min(x, LARGEST)) - 1.0
        totals[i], logs[i], signatures[i] = total, log, signature
        bounds[i, 0], bounds[i, 1] = low, high
        counted[i, 0], counted[i, 1], counted[i, 2], counted[i, 3] = not_finite, negative, zeros, disorder
        counted[i, 4], counted[i, 5], counted[i, 6] = with_decimals, fractions, above
    return totals, logs, signatures, counted, bounds


def add_sums(sums: np.ndarray, block: csr_matrix, codes: np.ndarray, *, in_order: bool) -> None:
    """Add the cells of a block to `sums` (groups, genes) of their groups, -1 for none; NaN and infinity count as zero.

    in_order : whether each cell's genes ascend. Each thread has genes of its own, so that the order of the sums, and
    with it their last digit, is always the same.
    """
    _add(sums, _native(block.data), block.indices, block.indptr, np.ascontiguousarray(codes, np.int64), in_order)


@njit(parallel=True, cache=True, nogil=True)
def _add(
    sums: np.ndarray, data: np.ndarray, genes: np.ndarray, ends: np.ndarray, codes: np.ndarray, in_order: bool
) -> None:
    for part in prange(PARTS):
        first, last = sums.shape[1] * part // PARTS, sums.shape[1] * (part + 1) // PARTS
        for i in range(len(ends) - 1):
            if codes[i] < 0:
                continue
            row = sums[codes[i]]
            start, stop = np.int64(ends[i]), np.int64(ends[i + 1])
            if in_order:
                stop = start + np.searchsorted(genes[start:stop], last)
                start = start + np.searchsorted(genes[start:stop], first)
            for j in range(np.uintp(start), np.uintp(stop)):
                gene = np.int64(genes[j])
                x = np.float64(data[j])
                if first <= gene < last and math.isfinite(x):
                    row[gene] += x


def _native(data: np.ndarray) -> np.ndarray:
    """As the compiled loops take it."""
    if data.dtype.kind != "f" or data.dtype.itemsize not in (4, 8):
        return data.astype(np.float64)
    return data.astype(data.dtype.newbyteorder("="), copy=False)
