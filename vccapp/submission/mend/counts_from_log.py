"""Counts out of log1p values, where they are still in them: every cell is then a multiple of whole numbers.

The unit of a cell is what one count has become. It is found from the smallest value, made better by all small ones, and
must explain every value of every cell. Rounded logarithms, model means and smoothed cells do not allow it.
"""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.errors import CheckError
from vccapp.submission.checking.context import Context
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend

OFF = 0.2
"""How far a value may lie from a whole number of units: chance reaches 0.5."""
SMALL = 20.5
"""Counts up to which the unit is fitted: rounding of larger ones weighs more."""
DEPTH_FOLD = 3.0
"""Times by which the counts may miss the depth of control cells."""


@MENDS.register("counts_from_log")
class CountsFromLog(Mend):
    label = "Take the counts out of log1p values"
    order = 111

    def apply(self, draft: Draft) -> str | None:
        context = draft.context
        if not draft.asks(self.name):
            return None
        self._require_counts(context)
        draft.changes.append(lambda start, block: to_counts(block)[0])
        return "Counts are taken out of log1p values: each is a whole number of its cell's unit."

    def _require_counts(self, context: Context) -> None:
        totals = []
        for start, block in context.file.blocks():
            counts, off = to_counts(block)
            if off > OFF:
                raise CheckError(
                    "not_counts",
                    f"The values from cell {start:,} on are no logarithms of counts: they lie up to {off:.2f} between "
                    "whole numbers",
                    fix="use the counts before normalisation, or draw whole numbers from the means (draw_counts)",
                )
            totals.append(np.asarray(counts.sum(axis=1)).ravel())
        median = float(np.median(np.concatenate(totals))) if totals else 0.0
        depth = context.depth_of(next(iter(context.contexts), None))
        if depth is not None and not 1 / DEPTH_FOLD < median / depth.total < DEPTH_FOLD:
            raise CheckError(
                "not_counts",
                f"The counts in the values would be {median:,.0f} a cell, and {depth.total:,.0f} {depth.source}",
                fix="use the counts before normalisation",
            )


def to_counts(block: csr_matrix) -> tuple[csr_matrix, float]:
    """Whole counts (n, genes), and how far the values lie from them at most, in counts."""
    block = csr_matrix(block, copy=False)
    values = np.expm1(np.minimum(block.data.astype(np.float64), 30))
    lengths = np.diff(block.indptr)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    positive = values > 0
    unit = np.full(len(lengths), np.inf)
    np.minimum.at(unit, owner[positive], values[positive])
    for _ in range(3):
        whole = np.rint(values / unit[owner])
        small = positive & (whole <= SMALL) & (whole > 0)
        squares = np.bincount(owner[small], weights=whole[small] ** 2, minlength=len(lengths))
        fitted = np.bincount(owner[small], weights=values[small] * whole[small], minlength=len(lengths))
        unit = np.where(squares > 0, fitted / np.maximum(squares, 1), unit)
    ratio = values / unit[owner]
    counts = np.rint(ratio)
    off = float(np.abs(ratio - counts).max(initial=0))
    if (block.data < 0).any() or not np.isfinite(block.data).all():
        off = 1.0
    return csr_matrix((counts, block.indices, block.indptr), shape=block.shape), off
