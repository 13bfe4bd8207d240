"""Every cell has values."""

import numpy as np

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("empty_cells")
class EmptyCells(Check):
    label = "No cell is empty"
    why = "Zero expression is no prediction: nothing of such cells can be scored."

    def finish(self) -> CheckResult:
        context, codes = self.context, self.context.all_codes
        empty = context.totals == 0
        n = int(empty.sum())
        if n == 0:
            return self.ok("Every cell has non-zero values.")
        full = np.bincount(codes[~empty & (codes >= 0)], minlength=len(context.labels))
        lost = [i for i in range(len(context.labels)) if context.n_cells[i] and not full[i]]
        if lost:
            elsewhere = {context.targets[i] for i in np.flatnonzero(full)}
            alone = context.file.contexts is None or all(context.targets[i] in elsewhere for i in lost)
            return self.failed(
                f"All cells of {name_some(context.labels[i] for i in lost)} are empty.",
                "Generate them again; zero expression cannot be scored.",
                rule="empty" if alone else "",
                table=[{"perturbation": context.labels[i], "cells": int(context.n_cells[i])} for i in lost],
            )
        return self.warning(f"{n:,} cells contain only zeros.", "Leave cells without UMIs out of the controls.")
