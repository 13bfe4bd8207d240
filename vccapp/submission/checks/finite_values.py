"""No NaN and no infinity: the official packager of 2025 lets them through, and scoring then fails."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("finite_values")
class FiniteValues(Check):
    label = "Values are finite"
    why = "Every score of such a cell is meaningless, and the rank test fails."

    def start(self) -> None:
        self.found, self.infinite = 0, 0  # of which infinite
        self.first: str | None = None

    def block(self, start: int, csr: csr_matrix) -> None:
        if self.context.values.counted["not_finite"] == self.found:
            return
        bad = np.flatnonzero(~np.isfinite(csr.data))
        if len(bad) and self.first is None:
            cell = start + int(np.searchsorted(csr.indptr, bad[0], side="right")) - 1
            self.first = f"cell {cell}, gene {self.context.file.genes[csr.indices[bad[0]]]}"
        self.found += len(bad)
        self.infinite += int(np.isinf(csr.data[bad]).sum())

    def finish(self) -> CheckResult:
        if self.found:
            return self.failed(
                f"{self.found:,} values are NaN or infinite, the first in {self.first}.",
                "Find where the model divides by zero or overflows, and generate the cells again.",
                rule="not_finite" if self.found > self.infinite else "",
            )
        return self.ok(f"All {self.context.file.n_values:,} stored values are finite.")
