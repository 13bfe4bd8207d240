"""A check: no gene holds most of what a perturbation's cells express."""

import numpy as np

from vccapp.submission.check import CHECKS, Check, CheckResult

MOST = 0.5


@CHECKS.register("dominant_gene")
class DominantGene(Check):
    label = "No gene dominates"

    def finish(self) -> CheckResult:
        means = self.context.means
        if means is None or not len(self.context.perturbations()):
            return self.skipped("There are too many labels, or no perturbations.")
        profiles = means[self.context.perturbations()]
        shares = profiles / np.maximum(profiles.sum(axis=1, keepdims=True), 1e-12)
        row, gene = np.unravel_index(shares.argmax(), shares.shape)
        label = self.context.labels[self.context.perturbations()[row]]
        found = f"{self.context.file.genes[gene]} holds {shares[row, gene]:.0%} of the values of {label}"
        if shares[row, gene] > MOST:
            return self.failed(f"{found}.", "Look for a scale that was applied twice.")
        return self.ok(f"{found}, the largest share.")
