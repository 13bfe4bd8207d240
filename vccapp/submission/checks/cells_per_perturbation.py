"""Cells per perturbation: as many as the season asks for, or about as many as it advises, scaled to the cap.

Where nothing is enforced the number still decides how many genes the scorer calls differentially expressed.
"""

from vccapp.errors import SpecError
from vccapp.submission.budget import scale_cells
from vccapp.submission.check import CHECKS, Check, CheckResult, Row
from vccapp.wording import name_some

TOLERANCE = 0.05
FEW = 10
"""A rank test of fewer cells against any number of controls hardly finds a gene."""


@CHECKS.register("cells_per_perturbation")
class CellsPerPerturbation(Check):
    label = "Cells per perturbation"
    why = "With more cells more genes test as differentially expressed, with fewer cells fewer."

    def finish(self) -> CheckResult:
        context = self.context
        found = {context.labels[i]: int(context.n_cells[i]) for i in context.perturbations()}
        exact = context.season.cells_per_target
        if exact is not None:
            return self._compare_exactly(found, exact)
        wanted = {label: n for label, n in context.advised().items() if label in found}
        if not wanted:
            few = [label for label, n in found.items() if n < FEW]
            if few:
                return self.warning(
                    f"{len(few):,} perturbations have fewer than {FEW} cells ({name_some(few)}).",
                    "Provide the challenge's pert_counts CSV, and give each the number of cells that it advises.",
                )
            return self.skipped("No pert_counts table was given to compare with.")
        n_controls = int(context.n_cells[context.controls()].sum())
        try:
            advised = scale_cells(wanted, n_controls=n_controls, max_cells=context.season.max_cells)
        except SpecError as error:
            return self.warning(str(error), "Take fewer controls.")
        off = {p: abs(found[p] - n) / n for p, n in advised.items() if abs(found[p] - n) > max(1, TOLERANCE * n)}
        share = sum(advised.values()) / sum(wanted.values())
        scaled = "" if share == 1 else f", scaled by {share:.3f} to fit the cap"
        if off:
            worst = sorted(off, key=off.__getitem__, reverse=True)
            return self.warning(
                f"{len(off):,} of {len(advised):,} perturbations differ from the cell numbers that pert_counts "
                f"advises{scaled}; the largest difference is {worst[0]}: {found[worst[0]]:,} instead of "
                f"{advised[worst[0]]:,}.",
                "Follow pert_counts, unless you mean to have another number of cells.",
                table=[{"perturbation": p, "cells": found[p], "advised": advised[p]} for p in worst],
            )
        low, high = min(found.values()), max(found.values())
        return self.ok(f"Perturbations have {low:,} to {high:,} cells, as pert_counts advises{scaled}.")

    def _compare_exactly(self, found: dict[str, int], exact: int) -> CheckResult:
        """Of what is asked for; the others are another check's."""
        asked = self.context.asked
        off = {p: n for p, n in found.items() if n != exact and (asked is None or p in asked)}
        if not off:
            return self.ok(f"Each of {len(found):,} perturbations has {exact:,} cells.")
        worst = sorted(off, key=lambda label: abs(off[label] - exact), reverse=True)
        message = (
            f"{len(off):,} of {len(found):,} perturbations do not have {exact:,} cells; {worst[0]} has "
            f"{off[worst[0]]:,}."
        )
        rows: list[Row] = [{"perturbation": p, "cells": off[p], "asked": exact} for p in worst]
        fix = f"Make exactly {exact:,} cells of each perturbation in each context."
        if self.context.practice:
            return self.warning(message, fix, table=rows, mend="resample")
        return self.failed(message, fix, table=rows, mend="resample")
