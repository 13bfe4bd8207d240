"""Counts become natural log1p, each cell scaled to the median total of the file, where the season takes no counts."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("counts_to_log")
class CountsToLog(Mend):
    label = "Normalise counts and take log1p"
    order = 114

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name):
            return None
        totals = draft.context.totals
        median = float(np.median(totals[totals > 0]))
        factors = np.divide(median, totals, out=np.ones_like(totals), where=totals > 0)

        def change(start: int, block: csr_matrix) -> csr_matrix:
            own = np.repeat(factors[start : start + block.shape[0]], np.diff(block.indptr))
            return csr_matrix((np.log1p(block.data * own), block.indices, block.indptr), shape=block.shape)

        draft.changes.append(change)
        return f"Each cell is scaled to the median total, {median:,.0f}, and log1p is taken."
