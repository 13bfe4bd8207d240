"""Other logarithms, square roots and values per 10,000 become natural log1p at the season's depth.

Which of these a file holds is told by what its cells sum to, read on each scale: near the depth that is known from
outside, or all the same usual sum (10,000, 100,000, a million); or by its control cells, which need no depth
(`vccapp.submission.checking.scale`). Where none of these shows, nothing is done.
"""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.errors import CheckError
from vccapp.evaluation.quality import ROUND_TOTALS, SCALES, find_target, name_scale, sum_scales
from vccapp.submission.checking.scale import NATURAL, tell_scale
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("natural_log")
class NaturalLog(Mend):
    label = "Take natural log1p at the season's depth"
    order = 110

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name):
            return None
        depth = draft.context.depth
        scale, factor = self._tell(draft, None if depth is None else depth.total)
        read = SCALES[scale]

        def change(start: int, block: csr_matrix) -> csr_matrix:
            counts = read(np.maximum(block.data.astype(np.float64), 0)) * factor
            return csr_matrix((np.log1p(counts), block.indices, block.indptr), shape=block.shape)

        draft.changes.append(change)
        scaled = f", scaled by {factor:.4g}" if factor != 1 else ""
        to = "at the depth that they have" if depth is None else f"of {depth.total:,.0f} a cell"
        return f"Values are read as {scale}{scaled}, and written as natural log1p {to}."

    def _tell(self, draft: Draft, depth: float | None) -> tuple[str, float]:
        """The scale, and what its counts are multiplied with."""
        cells = draft.sample()
        if depth is not None:
            sums = sum_scales(cells)
            totals = {name: total for total, name in ROUND_TOTALS.items()}
            for i, scale in enumerate(SCALES):
                if target := find_target(sums[:, i]):
                    return scale, depth / totals[target]
            if scale := name_scale(np.median(sums, axis=0), depth):
                return scale, 1.0
        told = tell_scale([draft.sample(controls=True)], cells.shape[1])
        if told is not None and told.name != NATURAL:
            return told.name, 1.0
        if depth is None:
            raise CheckError(
                "depth_unknown",
                "What cells should sum to is not known, so their scale cannot be told",
                fix="give the challenge's pert_counts (--counts)",
            )
        raise CheckError(
            "scale_unknown",
            f"Cells sum to the {depth:,.0f} that is known on none of the usual scales ({', '.join(SCALES)})",
            fix="find out what the values are, and write them as natural log1p",
        )
