"""Every cell has values."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("empty_cells")
class EmptyCells(Check):
    label = "No cell is empty"

    def start(self) -> None:
        self.empty = np.zeros(self.context.file.shape[0], dtype=bool)

    def block(self, start: int, csr: csr_matrix) -> None:
        self.empty[start : start + csr.shape[0]] = np.diff(csr.indptr) == 0

    def finish(self) -> CheckResult:
        n, codes = int(self.empty.sum()), self.context.file.labels.codes
        if n == 0:
            return self.ok("Every cell has non-zero values.")
        full = np.bincount(codes[~self.empty & (codes >= 0)], minlength=len(self.context.labels))
        lost = [label for i, label in enumerate(self.context.labels) if self.context.n_cells[i] and not full[i]]
        if lost:
            return self.failed(
                f"All cells of {name_some(lost)} are empty.", "Generate them again; zero expression cannot be scored."
            )
        return self.warning(f"{n:,} cells contain only zeros.", "Leave cells without UMIs out of the controls.")
