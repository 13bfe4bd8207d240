"""No negative values: the official packager of 2025 does not see them all, and its log1p or rank test fails."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("non_negative")
class NonNegative(Check):
    label = "Values are not negative"
    why = "There is no negative expression: logarithms and the rank test fail on it."

    def start(self) -> None:
        self.found, self.lowest = 0, 0.0

    def block(self, start: int, csr: csr_matrix) -> None:
        negative = csr.data[csr.data < 0]
        if len(negative):
            self.found += len(negative)
            self.lowest = min(self.lowest, float(np.min(negative)))

    def finish(self) -> CheckResult:
        if self.found:
            return self.failed(
                f"{self.found:,} values are negative, the lowest is {self.lowest:.3g}.",
                "Submit expression, not effects or z-scores: add the control mean, and clip at 0.",
                rule="" if self.context.values.decimals else "negative",
            )
        return self.ok("No value is negative.")
