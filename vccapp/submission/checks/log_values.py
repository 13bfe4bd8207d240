"""Values look like log1p. The official packager takes a file without decimals for counts and normalises it again;
'decimals' are its own: any positive fraction above 1e-3."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.check import CHECKS, Check, CheckResult

FRACTION = 1e-3
COUNT_TOTAL = 500
"""Mean sum of whole numbers in a cell from which on they are rather counts than rounded log values."""


@CHECKS.register("log_values")
class LogValues(Check):
    label = "Values are log1p"

    def start(self) -> None:
        self.decimals, self.highest, self.total = 0, 0.0, 0.0

    def block(self, start: int, csr: csr_matrix) -> None:
        values = csr.data[np.isfinite(csr.data) & (csr.data > 0)]
        if len(values):
            self.decimals += int(np.count_nonzero(values - np.trunc(values) > FRACTION))
            self.highest = max(self.highest, float(values.max()))
            self.total += float(values.sum(dtype=np.float64))

    def finish(self) -> CheckResult:
        n_values, n_cells = self.context.file.n_values, max(self.context.file.shape[0], 1)
        if self.context.season.space != "log1p":
            return self.skipped(f"{self.context.season.label} takes {self.context.season.space}.")
        if self.decimals:
            return self.ok(f"{self.decimals / max(n_values, 1):.1%} of the stored values have decimals, as log1p has.")
        counts = self.highest >= (self.context.season.max_value or np.inf) or self.total / n_cells > COUNT_TOTAL
        return self.failed(
            f"No value has decimals (highest {self.highest:g}, mean cell total {self.total / n_cells:,.0f}): "
            f"they look like {'counts' if counts else 'rounded log values'}.",
            "Normalise each cell to the median total and take log1p."
            if counts
            else "Do not round: the official packager would treat them as counts and apply the logarithm again.",
        )
