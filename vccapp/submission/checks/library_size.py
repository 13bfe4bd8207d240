"""Cell totals are what is known from outside (pert_counts, the training cells, the season), and predictions' are like
the controls': another base or scale of the logarithm shows here, of the whole file too."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.evaluation.quality import LABELS, LIBRARY, judge_depth, judge_library, measure_folds, sum_counts, sum_scales
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some

SAMPLED = 32
"""Cells of a block whose sums are taken on every scale; on the natural one, all are."""


@CHECKS.register("library_size")
class LibrarySize(Check):
    label = LABELS["library_size"]

    def start(self) -> None:
        self.totals = np.zeros(self.context.file.shape[0])
        self.scales: list[np.ndarray] = []

    def block(self, start: int, csr: csr_matrix) -> None:
        self.totals[start : start + csr.shape[0]] = sum_counts(csr)
        if self.context.depth is not None:
            self.scales.append(sum_scales(csr[:: -(-csr.shape[0] // SAMPLED)]))

    def finish(self) -> CheckResult:
        depth, inside = self.context.depth, self._compare_inside()
        if depth is None or not self.scales or inside.status == "warning":
            return inside
        verdict, found = judge_depth(np.concatenate(self.scales), depth)
        if verdict == "ok":
            return self.ok(f"{found.capitalize()}. {inside.message}")
        return self.warning(
            f"{found[0].upper()}{found[1:]}.",
            "Write natural log1p of counts that were scaled to that depth: scores compare values as they are.",
        )

    def _compare_inside(self) -> CheckResult:
        """Of the perturbations with the file's own controls."""
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
