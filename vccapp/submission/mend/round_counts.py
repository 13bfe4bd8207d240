"""Counts that are whole but for the noise of arithmetic are rounded; means are not."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.errors import CheckError
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend

NOISE = 0.01
"""Fractions that arithmetic leaves, and no mean has in every value."""


@MENDS.register("round_counts")
class RoundCounts(Mend):
    label = "Round counts that are nearly whole"
    order = 112

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name):
            return None
        for start, block in draft.context.file.blocks():
            values = block.data.astype(np.float64)
            off = float(np.abs(values - np.rint(values)).max(initial=0))
            if not off <= NOISE:
                raise CheckError(
                    "not_counts",
                    f"Values from cell {start:,} on lie up to {off:.2f} from whole numbers: to round them would change "
                    "every mean",
                    fix="draw whole numbers with these means (draw_counts), or use raw counts",
                )

        def change(start: int, block: csr_matrix) -> csr_matrix:
            return csr_matrix((np.rint(block.data), block.indices, block.indptr), shape=block.shape)

        draft.changes.append(change)
        return f"Values are rounded to whole numbers, of which they are less than {NOISE} off."
