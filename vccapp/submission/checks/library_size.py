"""Cell totals of predictions are like the controls': another base or scale of the logarithm shows here."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some

RATIO = (0.5, 2.0)


@CHECKS.register("library_size")
class LibrarySize(Check):
    label = "Library size"

    def start(self) -> None:
        self.totals = np.zeros(self.context.file.shape[0])

    def block(self, start: int, csr: csr_matrix) -> None:
        values = np.expm1(np.clip(np.nan_to_num(csr.data), 0, 50), dtype=np.float64)
        totals = csr_matrix((values, csr.indices, csr.indptr), shape=csr.shape).sum(axis=1)
        self.totals[start : start + csr.shape[0]] = np.asarray(totals).ravel()

    def finish(self) -> CheckResult:
        control, codes = self.context.control(), self.context.file.labels.codes
        real = 0.0 if control is None else float(np.median(self.totals[codes == control]))
        which = self.context.perturbations()
        if real == 0 or not len(which):
            return self.skipped("There are no controls with values, or no perturbations, to compare.")
        ratios = {self.context.labels[i]: float(np.median(self.totals[codes == i])) / real for i in which}
        low, high = min(ratios.values()), max(ratios.values())
        off = [label for label, ratio in ratios.items() if not RATIO[0] <= ratio <= RATIO[1]]
        if off:
            return self.warning(
                f"Median cell totals (sum of expm1) of {len(off):,} perturbations lie outside {RATIO[0]:g} to "
                f"{RATIO[1]:g} times the controls' {real:,.0f}: {low:.2g} to {high:.2g} times ({name_some(off)}).",
                "Normalise predictions like the controls: natural log1p, same target total.",
            )
        return self.ok(f"Median cell totals are {low:.2f} to {high:.2f} times the controls' {real:,.0f}.")
