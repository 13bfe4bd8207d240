"""No more cells than the season's rules allow; the official packager of today would let twice as many pass."""

from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("cell_cap")
class CellCap(Check):
    label = "Cell cap"
    reads_values = False

    def finish(self) -> CheckResult:
        n, cap = self.context.file.shape[0], self.context.season.max_cells
        if n > cap:
            return self.failed(f"There are {n:,} cells; {cap:,} are allowed.", "Take fewer cells, or fewer controls.")
        return self.ok(f"There are {n:,} cells of {cap:,} allowed.")
