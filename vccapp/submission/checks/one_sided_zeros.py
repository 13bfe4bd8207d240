"""No gene is zero on one side alone: its fold change is infinite, and the scorer ranks it before every other DEG."""

import numpy as np

from vccapp.data.schema import genes_of
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some

EXPRESSED = 0.1
"""Mean log1p of a gene that is no accident of few cells."""
MANY = 1.0
"""Such genes a perturbation, beside its own target, from which on they decide the score."""


@CHECKS.register("one_sided_zeros")
class OneSidedZeros(Check):
    label = "No gene is on one side alone"
    why = "Their fold changes are infinite, and the scorer of 2025 ranks them first."

    def finish(self) -> CheckResult:
        context, means, which = self.context, self.context.means, self.context.perturbations()
        reference = context.references(which)
        if reference is None or means is None or not len(which):
            return self.skipped("There are no controls or no perturbations, or too many labels, to compare.")
        own = means[which]
        alone = ((own == 0) & (reference > EXPRESSED)) | ((own > EXPRESSED) & (reference == 0))
        genes = np.array(context.file.genes, dtype=object)
        for row, label in enumerate(context.targets[i] for i in which):
            alone[row] &= ~np.isin(genes, genes_of(label))
        n = int(alone.sum())
        if n <= MANY * len(which):
            return self.ok(f"{n:,} genes are expressed in a perturbation or in the controls alone.")
        most = context.labels[which[int(alone.sum(axis=1).argmax())]]
        return self.warning(
            f"{n:,} genes, {n / len(which):,.1f} a perturbation, are expressed in it or in the controls alone, most in "
            f"{name_some([most])} ({int(alone.sum(axis=1).max()):,}).",
            "Keep a little expression, as real cells have.",
        )
