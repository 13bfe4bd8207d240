"""Cells of a perturbation, and the controls, are not copies of each other."""

import numpy as np

from vccapp.evaluation.quality import DISTINCT, LABELS, count_profiles, judge_profiles
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("identical_cells")
class IdenticalCells(Check):
    label = LABELS["identical_cells"]
    why = "Without variance nearly every gene tests as differentially expressed."

    def finish(self) -> CheckResult:
        codes, which = self.context.all_codes, np.flatnonzero(self.context.n_cells)
        n_cells = self.context.n_cells[which]
        n_profiles = np.array([count_profiles(self.context.signatures[codes == i]) for i in which])
        if judge_profiles(n_profiles, n_cells) == "ok":
            return self.ok(f"Of each label at least {DISTINCT:.0%} of the cells differ.")
        few = [self.context.labels[i] for i in which[(n_cells > 1) & (n_profiles < DISTINCT * n_cells)]]
        tiled = int(((n_cells > 1) & (n_profiles == 1)).sum())
        kind = f"; of {tiled:,} all cells are one profile repeated" if tiled else ""
        return self.warning(
            f"Of {len(few):,} labels less than {DISTINCT:.0%} of the cells differ ({name_some(few)}){kind}.",
            "Use cells that vary like real ones.",
        )
