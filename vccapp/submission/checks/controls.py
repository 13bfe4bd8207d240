"""Control cells are there: the season's scorer compares with the controls of the file itself."""

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some

FEW = 30


@CHECKS.register("controls")
class Controls(Check):
    label = "Controls"
    reads_values = False

    def finish(self) -> CheckResult:
        season, control = self.context.season, self.context.control()
        n = 0 if control is None else int(self.context.n_cells[control])
        if season.controls == "forbidden":
            if n:
                return self.failed(f"There are {n:,} control cells; none are allowed.", "Leave the control cells out.")
            return self.ok("There are no control cells, as asked.")
        if n == 0:
            return self.failed(
                f"No cell is labelled '{season.control_label}'; labels are {name_some(self.context.labels)}.",
                f"Add the training data's control cells, labelled '{season.control_label}'.",
            )
        planned = (self.context.cells or {}).get(season.control_label, n)
        if n != planned:
            return self.failed(f"There are {n:,} controls; the plan says {planned:,}.", "Generate the cells again.")
        if n < FEW:
            return self.warning(
                f"There are only {n:,} control cells; effects and tests against them are noisy.",
                f"Copy at least {FEW} control cells of the training data.",
            )
        return self.ok(f"There are {n:,} control cells.")
