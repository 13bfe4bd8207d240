"""On what scale the values of a matrix are: counts, log1p of any base, unlogged, scaled; told from a sample.

    scale = detect_scale(rows.sample(), n_genes)
    scale.kind, scale.base, scale.depth, scale.evidence
    to_log1p(scale)         # what brings values to natural log1p; None where they are counts or natural log1p

Several signs together tell the scale. The sums of a cell before the logarithm are equal in normalised data: in raw
values where none was taken, in expm1, 2^x - 1 or 10^x - 1 where that was. Where they are not, because genes were left
out since, the values of a cell before the logarithm are still multiples of its smallest, the worth of one count.
Rounded log values are told from counts because counts cannot vary less than Poisson counts do (variance >= mean).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from vccapp.data.schema import ValueSpace
from vccapp.errors import DataError

MAX_LOG1P = 15.0  # exp(15) is 3.3 million: no cell holds so many UMIs of one gene
UNDERDISPERSED = 0.5
EQUAL = 0.02
"""Spread of the sums of cells, relative to their median, up to which they count as equal."""
EXACT = 0.002
"""The same for a scale that is not the usual one; noise on a smooth prediction averages out in plain sums too."""
ORDERS = 1.5
"""Standard deviation of the logarithm of cells' sums of expm1 above which the values are no logarithms."""
MAX_TWICE = 3.0
MAX_LOG2 = MAX_LOG1P / np.log(2)
SAMPLE_CELLS = 2_000

Kind = Literal["counts", "corrected", "normalised", "log1p", "log1p of counts", "log1p twice", "scaled"]
Sample = Iterable[tuple[int, int, csr_matrix | csc_matrix]]

_UNDO: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "e": np.expm1,
    "2": lambda x: np.expm1(x * np.log(2)),
    "10": lambda x: np.expm1(x * np.log(10)),
    "none": lambda x: x,
    "twice": lambda x: np.expm1(np.expm1(x)),
}
BASES = {"e": float(np.e), "2": 2.0, "10": 10.0}


@dataclass(frozen=True)
class Scale:
    """kind : of the values as stored; base : of the logarithm, None where none was taken
    depth : what every cell sums to before the logarithm, for corrected counts the median; None: it differs
    evidence : a sentence for the user
    """

    kind: Kind
    evidence: str
    base: float | None = None
    depth: float | None = None

    @property
    def space(self) -> ValueSpace:
        """Of the values as vccapp reads them."""
        return "counts" if self.kind == "counts" else "scaled" if self.kind == "scaled" else "log1p"

    @property
    def name(self) -> str:
        """'log2(1 + x)', 'counts', ..."""
        if self.base is not None and self.kind.startswith("log1p"):
            root = "natural log1p" if self.base == BASES["e"] else f"log{self.base:g}(1 + x)"
            return f"{root} of counts" if self.kind == "log1p of counts" else root
        names = {"corrected": "counts with fractions", "normalised": "normalised, without a logarithm"}
        return names.get(self.kind, self.kind)

    @property
    def note(self) -> str | None:
        """What is done with the values, or what they cannot give; None for counts."""
        depth = "" if self.depth is None else f" of {self.depth:,.0f} a cell"
        if self.kind == "corrected":
            return (
                f"Values are counts with fractions, such as counts corrected for ambient RNA: they are read as natural "
                f"log1p{depth}, the median. UMIs are then unknown."
            )
        if self.kind == "normalised":
            return f"Values are normalised but not logged: they are read as natural log1p{depth}."
        if self.kind == "log1p" and self.base != BASES["e"]:
            return f"Values are log{self.base:g}(1 + x): they are read as natural log1p{depth}."
        if self.kind == "log1p of counts":
            return (
                "Values are log1p of raw counts, not normalised for depth: effects include those of depth. Raw counts "
                "are better."
            )
        if self.kind == "log1p" and self.depth is not None:
            return (
                f"Every cell sums to {self.depth:,.0f} before the logarithm. A submission needs its season's scale, "
                "which may be another."
            )
        if self.kind == "log1p":
            return None
        return None


def detect_scale(sample: Sample, n_genes: int, *, base: float | None = None) -> Scale:
    """The scale of the values, told from a sample.

    sample : (first cell, first gene, block of cells x genes); base : of the logarithm, where the file says it.
    Raises DataError for values that cannot be used.
    """
    seen = _Seen(n_genes)
    for first_cell, first_gene, block in sample:
        _check_finite(block, first_cell)
        seen.add(first_gene, block)
    if seen.n == 0:
        raise DataError("all_zero", "X contains only zeros", fix="store the counts in X")
    found = f"{seen.n:,} non-zero values sampled, from {seen.low:.4g} to {seen.high:.4g}"
    if seen.n_whole == seen.n:
        _check_counts(seen, found)
        return Scale("counts", f"whole numbers, none negative ({found})")
    if seen.low < 0:
        if not seen.negative_fraction:
            raise DataError(
                "negative_values",
                f"X holds negative whole numbers ({found}), which are neither counts nor scaled values",
                fix="repair X",
            )
        return Scale("scaled", f"negative fractions ({found}): {_name_scaled(seen)}")
    return _tell(seen, found, base)


def to_log1p(scale: Scale) -> Callable[[csr_matrix], csr_matrix] | None:
    """What brings whole cells to natural log1p; None where they are that, or counts, or cannot be brought to it."""
    if scale.kind == "normalised":
        return Log()
    if scale.kind == "corrected":
        return Normalise(scale.depth or 1.0)
    if scale.base not in (None, BASES["e"]) and scale.kind in ("log1p", "log1p of counts"):
        return Multiply(float(np.log(scale.base)))
    return None


@dataclass(frozen=True)
class Multiply:
    """Values times a number."""

    factor: float

    def __call__(self, block: csr_matrix) -> csr_matrix:
        values = (block.data * np.float64(self.factor)).astype(np.float32)
        return csr_matrix((values, block.indices, block.indptr), shape=block.shape)


@dataclass(frozen=True)
class Normalise:
    """log1p of values that sum to `depth` in every cell."""

    depth: float

    def __call__(self, block: csr_matrix) -> csr_matrix:
        totals = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        factor = self.depth / np.where(totals > 0, totals, 1)
        values = np.log1p(block.data * np.repeat(factor, np.diff(block.indptr))).astype(np.float32)
        return csr_matrix((values, block.indices, block.indptr), shape=block.shape)


@dataclass(frozen=True)
class Log:
    """log1p of values."""

    def __call__(self, block: csr_matrix) -> csr_matrix:
        return csr_matrix((np.log1p(block.data), block.indices, block.indptr), shape=block.shape)


class _Seen:
    """What a sample holds: values, genes, and some whole cells."""

    def __init__(self, n_genes: int) -> None:
        self.n = self.n_whole = self.n_negative = 0
        self.low, self.high, self.negative_fraction = np.inf, -np.inf, False
        self.seen, self.total, self.squares = np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes)
        self.cells: list[np.ndarray] = []  # the values of each

    def add(self, first_gene: int, block: csr_matrix | csc_matrix) -> None:
        values = block.data
        if len(values):
            whole = values == np.rint(values)
            self.n, self.n_whole = self.n + len(values), self.n_whole + int(whole.sum())
            self.n_negative += int((values < 0).sum())
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
            self.negative_fraction |= bool(((values < 0) & ~whole).any())
        genes = slice(first_gene, first_gene + block.shape[1])
        self.seen[genes] += block.shape[0]
        self.total[genes] += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
        self.squares[genes] += np.asarray(block.multiply(block).sum(axis=0, dtype=np.float64)).ravel()
        if block.shape[1] == len(self.seen) and len(self.cells) < SAMPLE_CELLS:
            rows = block.tocsr()
            for i in range(min(rows.shape[0], SAMPLE_CELLS - len(self.cells))):
                own = rows.data[rows.indptr[i] : rows.indptr[i + 1]]
                if len(own):
                    self.cells.append(own.astype(np.float64))

    def sums(self, way: str) -> np.ndarray:
        """(whole cells,) sums before the logarithm."""
        return np.array([_UNDO[way](own).sum() for own in self.cells])

    def spread(self, way: str) -> float:
        """How much the sums of cells differ, relative to their median; infinite where there are too few cells."""
        sums = self.sums(way)
        if len(sums) < 3 or not np.isfinite(sums).all():
            return np.inf
        low, middle, high = np.percentile(sums, [5, 50, 95])
        return float((high - low) / middle) if middle > 0 else np.inf

    def multiples(self, way: str) -> float:
        """Share of the values that are whole multiples of the smallest of their cell, before the logarithm."""
        n = met = 0
        for own in self.cells[:300]:
            values = _UNDO[way](own)
            ratio = values / values.min()
            ratio = ratio[(ratio > 1.5) & (ratio < 50)]
            n, met = n + len(ratio), met + int((np.abs(ratio - np.rint(ratio)) < 0.01).sum())
        return met / n if n >= 50 else 0.0

    def whole(self, way: str) -> float:
        """Share of the values that are whole numbers before the logarithm."""
        values = np.concatenate([_UNDO[way](own) for own in self.cells[:300]] or [np.zeros(0)])
        values = values[values < 100]
        return float((np.abs(values - np.rint(values)) < 0.01).mean()) if len(values) >= 50 else 0.0

    @property
    def sparse(self) -> bool:
        """Whether a tenth of the values or more are zero."""
        return bool(self.n < 0.9 * self.seen.sum())


def _tell(seen: _Seen, found: str, base: float | None) -> Scale:
    """Of fractions that are not negative."""
    ways = ["e", "2", "10"] if seen.high < MAX_LOG1P else ["2"] if seen.high < MAX_LOG2 else []
    ways += ["twice"] if seen.high < MAX_TWICE else []
    way = _equal_sums(seen, [*ways, "none"], base)
    if way is not None:
        depth = float(np.median(seen.sums(way)))
        if way == "none":
            return Scale("normalised", f"every cell sums to about {depth:,.0f} ({found})", depth=depth)
        if way == "twice":
            raise _refuse_twice(found)
        return Scale("log1p", f"{_sum_words(way)} gives {depth:,.0f} in every cell ({found})", BASES[way], depth)
    if base is not None and _name_base(base) in ways:
        return Scale("log1p", f"fractions; the file says that the base is {base:g} ({found})", base)
    for way in ways:
        if way != "twice" and seen.whole(way) > 0.98 and seen.multiples("none") < 0.8:
            return Scale("log1p of counts", f"{_undo_words(way)} gives whole numbers ({found})", BASES[way])
    shares = {way: seen.multiples(way) for way in [*ways, "none"]}
    best = max(shares, key=lambda way: shares[way])
    if shares[best] > 0.8:
        how = f"{_undo_words(best)} gives multiples of one count in each cell ({found})"
        if best == "twice":
            raise _refuse_twice(found)
        if best == "none":
            depth = float(np.median(seen.sums("none")))
            return Scale("normalised", f"values are multiples of one count in each cell ({found})", depth=depth)
        return Scale("log1p", how, BASES[best])
    totals = seen.sums("none")
    if seen.high >= MAX_LOG1P:
        if seen.n_whole > 0.5 * seen.n or not len(totals):
            return _corrected(seen, f"whole numbers and fractions ({found})")
        return _corrected(seen, f"fractions up to {seen.high:,.4g}, too large for logarithms ({found})")
    sums = seen.sums("e")
    if len(sums) >= 10:
        orders, plain = float(np.log(sums[sums > 0]).std()), float(np.log(totals[totals > 0]).std())
        if orders > ORDERS and orders > 2 * plain:
            return _corrected(
                seen,
                f"as logarithms, cells would sum to {np.percentile(sums, 5):,.0f} to {np.percentile(sums, 95):,.0f}, "
                f"unlogged to {np.percentile(totals, 5):,.3g} to {np.percentile(totals, 95):,.3g} ({found})",
            )
    if seen.n_whole > 0.5 * seen.n:
        return _corrected(seen, f"{seen.n_whole / seen.n:.0%} are whole numbers ({found})")
    return Scale("log1p", f"fractions, none negative, below {MAX_LOG1P:g} ({found})", BASES["e"])


def _equal_sums(seen: _Seen, ways: list[str], base: float | None) -> str | None:
    """On which scale all cells have one sum, None where on none.

    Cells that are alike, such as those of a smooth prediction, have nearly equal sums on every scale: natural
    logarithms are then the usual ones, and another scale must be far better.
    """
    spreads = {way: seen.spread(way) for way in ways}
    if base is not None and spreads.get(_name_base(base), np.inf) < EQUAL:
        return _name_base(base)
    best = min(spreads, key=lambda way: spreads[way])
    usual = spreads.get("e", np.inf)
    limit = EXACT if seen.sparse else EXACT / 200
    if spreads[best] < limit and usual > 10 * spreads[best]:
        return best
    return "e" if usual < EQUAL else None


def _corrected(seen: _Seen, evidence: str) -> Scale:
    totals = seen.sums("none")
    if not len(totals):
        raise DataError(
            "unlogged_values",
            f"X holds counts with fractions that are stored by gene ({evidence})",
            fix="write X as CSR, or store raw counts in it",
        )
    return Scale("corrected", f"counts with fractions: {evidence}", depth=float(np.median(totals)))


def _refuse_twice(found: str) -> DataError:
    return DataError(
        "logged_twice",
        f"X holds values that were logged twice: the sums of cells are equal only after two expm1 ({found})",
        fix="take expm1 of X once, or store raw counts in it",
    )


def _name_base(base: float) -> str:
    return next((name for name, value in BASES.items() if abs(value - base) < 0.01), "other")


def _undo_words(way: str) -> str:
    return {"e": "expm1", "2": "2^x - 1", "10": "10^x - 1", "twice": "expm1 taken twice", "none": "a value"}[way]


def _sum_words(way: str) -> str:
    return f"the sum of {_undo_words(way)}"


def _name_scaled(seen: _Seen) -> str:
    judged = seen.seen >= 20
    mean = seen.total[judged] / seen.seen[judged]
    deviation = np.sqrt(np.maximum(seen.squares[judged] / seen.seen[judged] - mean**2, 0))
    used = deviation > 1e-9
    if not used.any():
        return "scaled or centred values"
    centred = np.median(np.abs(mean[used]) / deviation[used]) < 0.1
    if centred and np.median(np.abs(deviation[used] - 1)) < 0.1:
        return "z-scores, scaled or centred values with mean 0 and standard deviation 1 in each gene"
    if centred:
        return "residuals, scaled or centred values with mean 0 in each gene"
    return f"scaled or centred values, or corrected for batches ({seen.n_negative / seen.n:.0%} are negative)"


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


def _check_counts(seen: _Seen, found: str) -> None:
    if seen.low < 0:
        raise DataError(
            "negative_values",
            f"X holds negative whole numbers ({found}), which cannot be counts",
            fix="repair X or store raw counts in it",
        )
    if seen.high >= MAX_LOG1P:
        return
    if seen.low >= 2 and seen.n >= 1000 and seen.sparse:
        raise DataError(
            "rounded_logs",
            f"X looks like rounded log values, not counts: none is 1 ({found})",
            fix="store raw counts",
        )
    mean = seen.total / np.maximum(seen.seen, 1)
    variance = seen.squares / np.maximum(seen.seen, 1) - mean**2
    judged = (seen.seen >= 50) & (mean >= 1) & (variance > 1e-9)
    if judged.sum() >= 10 and np.median(variance[judged] / mean[judged]) < UNDERDISPERSED:
        raise DataError(
            "rounded_logs",
            f"X looks like rounded log values, not counts: they vary less than counts do ({found})",
            fix="store raw counts",
        )
