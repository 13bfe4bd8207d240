"""Cells of a perturbation differ. One profile tiled has no variance: the rank test then calls thousands of genes
differentially expressed, and the order of fold changes alone decides the score."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some

SHARE = 0.5
"""Of distinct cells in a perturbation; fewer are worth a word."""


@CHECKS.register("identical_cells")
class IdenticalCells(Check):
    label = "Cells of a perturbation differ"

    def start(self) -> None:
        n_cells, n_genes = self.context.file.shape
        self.weights = np.random.default_rng(0).random(n_genes)
        self.signature = np.zeros(n_cells)  # equal rows have equal sums, others differ but for an accident

    def block(self, start: int, csr: csr_matrix) -> None:
        self.signature[start : start + csr.shape[0]] = csr @ self.weights

    def finish(self) -> CheckResult:
        codes, worst = self.context.file.labels.codes, {}
        for i in self.context.perturbations():
            if (n := int(self.context.n_cells[i])) > 1:
                distinct = len(np.unique(self.signature[codes == i]))
                if distinct < SHARE * n:
                    worst[self.context.labels[i]] = distinct
        if worst:
            tiled = [label for label, n in worst.items() if n == 1]
            kind = f"; in {len(tiled):,} all cells are one profile repeated" if tiled else ""
            return self.warning(
                f"In {len(worst):,} perturbations less than half of the cells are distinct ({name_some(worst)}){kind}.",
                "Use cells that vary like real ones: without variance nearly every gene tests as differential.",
            )
        return self.ok("In every perturbation at least half of the cells are distinct.")
