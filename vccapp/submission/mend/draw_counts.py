"""Whole numbers are drawn around fractional counts, so that every mean stays: only where it is asked for by name.

2.7 becomes 3 with probability 0.7 and 2 with 0.3. Cells that were means have too little variance afterwards, too.
"""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("draw_counts")
class DrawCounts(Mend):
    label = "Draw whole numbers around fractional counts"
    order = 113
    safe = False

    def apply(self, draft: Draft) -> str | None:
        if draft.context.space != "counts" or not draft.context.values.fractions:
            return None
        seed = int(draft.rng(self.name).integers(2**32))

        def change(start: int, block: csr_matrix) -> csr_matrix:
            drawn = np.floor(block.data + np.random.default_rng([seed, start]).random(block.nnz))
            return csr_matrix((np.maximum(drawn, 0), block.indices, block.indptr), shape=block.shape)

        draft.changes.append(change)
        return f"{draft.context.values.fractions:,} fractional values are drawn up or down to whole numbers."
