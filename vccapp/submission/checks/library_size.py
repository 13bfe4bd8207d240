"""Cell totals of predictions are like the controls': another base or scale of the logarithm shows here."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.evaluation.quality import LABELS, LIBRARY, judge_library, measure_folds, sum_counts
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("library_size")
class LibrarySize(Check):
    label = LABELS["library_size"]

    def start(self) -> None:
        self.totals = np.zeros(self.context.file.shape[0])

    def block(self, start: int, csr: csr_matrix) -> None:
        self.totals[start : start + csr.shape[0]] = sum_counts(csr)

    def finish(self) -> CheckResult:
        control, codes = self.context.control(), self.context.file.labels.codes
        real = 0.0 if control is None else float(np.median(self.totals[codes == control]))
        which = self.context.perturbations()
        if real == 0 or not len(which):
            return self.skipped("There are no non-empty controls or no perturbations to compare.")
        ratios = np.array([np.median(self.totals[codes == i]) for i in which]) / real
        found = f"{ratios.min():.2f} to {ratios.max():.2f} times the controls' {real:,.0f}"
        folds = measure_folds(ratios)
        if judge_library(folds) == "ok":
            return self.ok(f"Median cell totals are {found}.")
        off = [self.context.labels[i] for i in which[folds > LIBRARY.warning]]
        return self.warning(
            f"Median cell totals (sum of expm1) are {found}; {len(off):,} perturbations are more than "
            f"{LIBRARY.warning:g} times off ({name_some(off)}).",
            "Normalise predictions like the controls: natural log1p, same target total.",
        )
