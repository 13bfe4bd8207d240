"""In what space the values of X are, told from a sample: raw counts, log1p or scaled. Anything else is refused.

The evidence is a sentence for the user. Rounded log values are told from counts because counts cannot vary less than
Poisson counts do (variance >= mean), while logarithms of expressed genes do.
"""

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from vccapp.data.schema import ValueSpace
from vccapp.errors import DataError

MAX_LOG1P = 15.0  # exp(15) is 3.3 million: no cell holds so many UMIs of one gene
UNDERDISPERSED = 0.5


def detect_values(sample: Iterable[tuple[int, int, csr_matrix | csc_matrix]], n_genes: int) -> tuple[ValueSpace, str]:
    """The value space and the evidence for it.

    sample : (first cell, first gene, block of cells x genes). Raises DataError for values that cannot be used.
    """
    n = n_whole = 0
    low, high, negative_fraction = np.inf, -np.inf, False
    seen, total, squares = np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes)
    cell_totals = []
    for first_cell, first_gene, block in sample:
        values = block.data
        _check_finite(block, first_cell)
        if len(values):
            whole = values == np.rint(values)
            n, n_whole = n + len(values), n_whole + int(whole.sum())
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            negative_fraction |= bool(((values < 0) & ~whole).any())
        genes = slice(first_gene, first_gene + block.shape[1])
        seen[genes] += block.shape[0]
        total[genes] += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
        squares[genes] += np.asarray(block.multiply(block).sum(axis=0, dtype=np.float64)).ravel()
        if block.shape[1] == n_genes:
            cell_totals.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())
    if n == 0:
        raise DataError(
            "all_zero",
            "X contains only zeros",
            fix="store the counts in X",
        )
    found = f"{n:,} non-zero values sampled, from {low:.4g} to {high:.4g}"
    if n_whole == n:
        _check_counts(low, high, found, seen, total, squares)
        return "counts", f"whole numbers, none negative ({found})"
    if low < 0:
        if not negative_fraction:
            raise DataError(
                "negative_values",
                f"X holds negative whole numbers ({found}), which are neither counts nor scaled values",
                fix="repair X",
            )
        return "scaled", f"negative fractions ({found}): scaled or centred values"
    if high >= MAX_LOG1P:
        raise DataError(
            "unlogged_values",
            f"X holds {_name_unlogged(n_whole / n, cell_totals)} ({found})",
            fix="apply log1p, or store raw counts in X",
        )
    return "log1p", f"fractions, none negative, below {MAX_LOG1P:g} ({found})"


def _check_finite(block: csr_matrix | csc_matrix, first_cell: int) -> None:
    finite = np.isfinite(block.data)
    if not finite.all():
        cell = first_cell + int(block.tocoo().row[~np.isfinite(block.tocoo().data)].min())
        what = "NaN" if np.isnan(block.data).any() else "infinite values"
        raise DataError(
            "not_finite",
            f"X holds {what} (first seen in the cell of row {cell:,})",
            fix="replace them or remove these cells",
        )


def _check_counts(
    low: float, high: float, found: str, seen: np.ndarray, total: np.ndarray, squares: np.ndarray
) -> None:
    if low < 0:
        raise DataError(
            "negative_values",
            f"X holds negative whole numbers ({found}), which cannot be counts",
            fix="repair X or store raw counts in it",
        )
    if high >= MAX_LOG1P:
        return
    mean = total / np.maximum(seen, 1)
    variance = squares / np.maximum(seen, 1) - mean**2
    judged = (seen >= 50) & (mean >= 1) & (variance > 1e-9)
    if judged.sum() >= 10 and np.median(variance[judged] / mean[judged]) < UNDERDISPERSED:
        raise DataError(
            "rounded_logs",
            f"X looks like rounded log values, not counts: they vary less than counts do ({found})",
            fix="store raw counts",
        )


def _name_unlogged(whole: float, cell_totals: list[np.ndarray]) -> str:
    totals = np.concatenate(cell_totals) if cell_totals else np.zeros(0)
    totals = totals[totals > 0]
    if len(totals) > 1 and totals.std() < 0.01 * totals.mean():
        return f"normalised values without a logarithm, such as CPM: every cell sums to about {totals.mean():,.0f}"
    if whole > 0.5:
        return "counts with fractions, such as corrected counts"
    return f"fractions of {MAX_LOG1P:g} and more, which are neither counts nor log1p values"
