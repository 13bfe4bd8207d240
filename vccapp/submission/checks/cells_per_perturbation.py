"""Cells per perturbation against the advice of pert_counts, scaled to the cap. Nothing enforces it, but the number of
cells decides how many genes the scorer calls differentially expressed."""

from vccapp.errors import SpecError
from vccapp.submission.budget import scale_cells
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some

TOLERANCE = 0.05
FEW = 10
"""A rank test of fewer cells against any number of controls hardly finds a gene."""


@CHECKS.register("cells_per_perturbation")
class CellsPerPerturbation(Check):
    label = "Cells per perturbation"
    reads_values = False

    def finish(self) -> CheckResult:
        context = self.context
        found = {context.labels[i]: int(context.n_cells[i]) for i in context.perturbations()}
        wanted = {label: n for label, n in (context.wanted or {}).items() if label in found}
        if not wanted:
            few = [label for label, n in found.items() if n < FEW]
            if few:
                return self.warning(
                    f"{len(few):,} perturbations have fewer than {FEW} cells ({name_some(few)}).",
                    "Provide the challenge's pert_counts CSV, and give each the number of cells that it advises.",
                )
            return self.skipped("No pert_counts table was given to compare with.")
        control = context.control()
        n_controls = 0 if control is None else int(context.n_cells[control])
        try:
            advised = scale_cells(wanted, n_controls=n_controls, max_cells=context.season.max_cells)
        except SpecError as error:
            return self.warning(str(error), "Take fewer controls.")
        off = {p: abs(found[p] - n) / n for p, n in advised.items() if abs(found[p] - n) > max(1, TOLERANCE * n)}
        share = sum(advised.values()) / sum(wanted.values())
        scaled = "" if share == 1 else f", scaled by {share:.3f} to fit the cap"
        if off:
            worst = max(off, key=off.__getitem__)
            return self.warning(
                f"{len(off):,} of {len(advised):,} perturbations differ from the cell numbers that pert_counts "
                f"advises{scaled}; the largest difference is {worst}: {found[worst]:,} instead of "
                f"{advised[worst]:,}.",
                "Follow pert_counts: with more cells more genes test as differentially expressed, with fewer "
                "cells fewer.",
            )
        low, high = min(found.values()), max(found.values())
        return self.ok(f"Perturbations have {low:,} to {high:,} cells, as pert_counts advises{scaled}.")
