"""Values are natural logarithms, as the file's own control cells tell: another base, or none, of the whole file too,
with nothing known from outside."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.seasons.base import Season
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.submission.checking.scale import NATURAL, tell_scale

SAMPLED = 64
"""Cells of a block that are looked at."""


@CHECKS.register("value_scale")
class ValueScale(Check):
    label = "Values are natural logarithms"
    why = "Scores compare values as they are: on another scale every one of them is wrong."

    @classmethod
    def applies(cls, season: Season) -> bool:
        return "log1p" in season.spaces

    def start(self) -> None:
        controls = self.context.controls()
        self.groups = controls if len(controls) else self.context.perturbations()
        self.cells: list[csr_matrix] = []

    def block(self, start: int, csr: csr_matrix) -> None:
        rows = np.flatnonzero(np.isin(self.context.codes(start, csr.shape[0]), self.groups))
        if len(rows):
            self.cells.append(csr[rows[:: -(-len(rows) // SAMPLED)]])

    def finish(self) -> CheckResult:
        context = self.context
        if context.space == "counts":
            return self.skipped("The values are counts.")
        told = tell_scale(self.cells, context.file.shape[1]) if self.cells else None
        if told is None:
            return self.skipped("The cells do not tell on what scale they are.")
        which = "Control cells" if len(context.controls()) else "Cells"
        if told.name == NATURAL:
            return self.ok(f"{which} are {NATURAL}: {told.evidence}.")
        return self.failed(
            f"{which} are {told.name}: {told.evidence}.",
            "Write natural log1p of counts that were scaled to one depth.",
            rule="other_scale",
            mend="natural_log",
        )
