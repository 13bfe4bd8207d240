"""Control cells, as the season has them: required where its scorer compares with the file's own, or forbidden."""

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.submission.labels import find_control_labels
from vccapp.wording import name_some

FEW = 30


@CHECKS.register("controls")
class Controls(Check):
    label = "Controls"
    why = "Effects are differences from control cells: of the file itself, or of the real data in their place."

    def finish(self) -> CheckResult:
        context, season = self.context, self.context.season
        groups = context.controls()
        n, alike = int(context.n_cells[groups].sum()), find_control_labels(self._present(), season.control_label)
        if season.controls == "forbidden":
            return self._forbidden(n, alike)
        if season.controls == "allowed" and n == 0:
            return self.ok("There are no control cells, and none are asked for.")
        contexts = dict.fromkeys(context.contexts[i] for i in context.perturbations())
        lacking = [c for c in contexts if c is not None and c not in {context.contexts[i] for i in groups}]
        if n == 0 and alike:
            return self.failed(
                f"No cell is labelled '{season.control_label}', but {name_some(alike)} looks like the control.",
                f"Label the control cells '{season.control_label}'.",
                mend="relabel_controls",
            )
        if n == 0 or lacking:
            where = f" in context {name_some(lacking)}" if n else ""
            return self.failed(
                f"No cell{where} is labelled '{season.control_label}'; labels are {name_some(self._present())}.",
                f"Add the training data's control cells, labelled '{season.control_label}'.",
                mend="add_controls",
            )
        planned = self._planned()
        if planned is not None and n != planned:
            return self.failed(
                f"There are {n:,} controls; the plan says {planned:,}.", "Generate the cells again.", rule="planned"
            )
        if n < FEW:
            return self.warning(
                f"There are only {n:,} control cells; effects and tests against them are noisy.",
                f"Copy at least {FEW} control cells of the training data.",
            )
        return self.ok(f"There are {n:,} control cells.")

    def _present(self) -> list[str]:
        context = self.context
        return list(dict.fromkeys(context.targets[i] for i in range(len(context.labels)) if context.n_cells[i]))

    def _planned(self) -> int | None:
        planned = self.context.cells
        if planned is None:
            return None
        names = {self.context.labels[i] for i in self.context.controls()}
        return sum(n for label, n in planned.items() if label in names)

    def _forbidden(self, n: int, alike: list[str]) -> CheckResult:
        asked = self.context.asked
        strange = [label for label in alike if asked is None or label not in {k.partition("@")[0] for k in asked}]
        if n:
            return self.failed(
                f"There are {n:,} control cells; none are allowed.",
                "Leave the control cells out.",
                mend="drop_controls",
            )
        if strange:
            return self.failed(
                f"Cells are labelled {name_some(strange)}, as controls are; none are allowed.",
                "Leave the control cells out.",
                mend="drop_controls",
            )
        return self.ok("There are no control cells, as asked.")
