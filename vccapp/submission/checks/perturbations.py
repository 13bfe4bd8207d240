"""Every cell has a label, and the labels and their numbers of cells are those of the plan."""

from vccapp.submission.budget import explain_labels
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("perturbations")
class Perturbations(Check):
    label = "Perturbations are as planned"
    reads_values = False

    def finish(self) -> CheckResult:
        context = self.context
        found = {context.labels[i]: int(context.n_cells[i]) for i in context.perturbations()}
        blank = [i for i, label in enumerate(context.labels) if not label.strip()]
        unlabelled = int((context.file.labels.codes < 0).sum()) + int(context.n_cells[blank].sum())
        if unlabelled:
            return self.failed(
                f"{unlabelled:,} cells have no {context.season.pert_col}.", "Label every cell, or leave it out."
            )
        strange = self._strange(list(found))
        expected = context.cells if context.cells is not None else context.wanted
        if expected is None:
            return strange or self.warning(
                f"There are {len(found):,} perturbations; the expected ones are unknown.",
                "Provide the challenge's pert_counts CSV to compare them.",
            )
        expected = {label: n for label, n in expected.items() if label != context.season.control_label}
        missing, extra = [p for p in expected if p not in found], [p for p in found if p not in expected]
        if missing or extra:
            parts = [f"{len(missing):,} are missing ({name_some(missing)})"] if missing else []
            parts += [f"{len(extra):,} are unexpected ({name_some(extra)})"] if extra else []
            return self.failed(
                f"Of {len(expected):,} perturbations {' and '.join(parts)}.",
                "Submit exactly the perturbations that the challenge lists, with the same spelling.",
            )
        other = [p for p, n in found.items() if n != expected[p]] if context.cells is not None else []
        if other:
            return self.failed(
                f"{other[0]} has {found[other[0]]:,} cells, the plan says {expected[other[0]]:,}; so do "
                f"{len(other) - 1:,} others differ.",
                "Generate the cells again from the plan.",
            )
        if strange:
            return strange
        return self.ok(f"All {len(expected):,} perturbations are there, and no others.")

    def _strange(self, labels: list[str]) -> CheckResult | None:
        """A warning of labels that are no genes of the file, also where a list has them."""
        found = explain_labels(labels, self.context.file.genes)
        if not found:
            return None
        return self.warning(
            f"Of {len(labels):,} perturbations these are no genes of the file: {found}.",
            "Compare the spelling with the challenge's list: spreadsheets change names such as MARCHF1.",
        )
