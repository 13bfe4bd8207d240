"""Values are log1p, or counts where the season takes both: never log1p that was rounded.

A packager takes a file without decimals for counts. Counts of whole transcriptomes reach hundreds, logarithms of them
stay below 15; where values do not, the known depth tells which of the two they are.
"""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.evaluation.quality import Depth, sum_counts
from vccapp.submission.check import CHECKS, Check, CheckResult

LOGARITHMS = 15.0
"""No natural log1p of counts is as high: it would be 3 million."""
NEAR = 2.0
"""Times by which cells read as logarithms may miss the depth, and still be said to be logarithms."""
SAMPLED = 32
"""Cells of a block whose sums are taken as if they were logarithms."""


@CHECKS.register("log_values")
class LogValues(Check):
    label = "Values are not rounded"
    why = "A packager would take them for counts, normalise them, and take the logarithm again."

    def start(self) -> None:
        self.logs: list[np.ndarray] = []

    def block(self, start: int, csr: csr_matrix) -> None:
        if not self.context.values.decimals:
            self.logs.append(sum_counts(csr[:: -(-csr.shape[0] // SAMPLED)]))

    def finish(self) -> CheckResult:
        context, values = self.context, self.context.values
        n_values, total = context.file.n_values, float(np.mean(context.totals)) if len(context.totals) else 0.0
        if values.decimals:
            return self.ok(f"{values.decimals / max(n_values, 1):.1%} of the stored values have decimals.")
        found = f"No value has decimals (highest {values.highest:g}, mean cell total {total:,.0f})"
        if self._are_counts(total):
            if "counts" not in context.season.spaces:
                return self.failed(
                    f"{found}: they look like counts.",
                    "Normalise each cell to the median total and take log1p.",
                    rule="no_check",
                    mend="counts_to_log",
                )
            return self.ok(f"{found}: they are counts, which {context.season.label} takes.")
        if self._depth() is None and context.season.space == "counts":
            return self.warning(
                f"{found}: they look like rounded log values.",
                "Check that these are counts: those of real cells are higher.",
            )
        return self.failed(
            f"{found}: they look like rounded log values.",
            "Do not round logarithms: what they were cannot be told any more. Write the values again.",
            rule="no_check",
        )

    def _are_counts(self, total: float) -> bool:
        context = self.context
        if context.values.highest >= LOGARITHMS:
            return True
        depth = self._depth()
        if depth is None or not total or not self.logs:
            return False
        as_logs = max(float(np.mean(np.concatenate(self.logs))), 1e-9)
        off = abs(np.log(as_logs / depth.total))
        return bool(off > np.log(NEAR) or abs(np.log(total / depth.total)) <= off)

    def _depth(self) -> Depth | None:
        return self.context.depth_of(next(iter(self.context.contexts), None))
