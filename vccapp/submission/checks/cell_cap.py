"""No more cells than the season's rules allow; the official packager of 2025 would let twice as many pass today."""

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.submission.checking.stricter import PACKAGER_CELLS


@CHECKS.register("cell_cap")
class CellCap(Check):
    label = "Cell cap"
    why = "A file above the cap is not scored."

    def finish(self) -> CheckResult:
        n, cap = self.context.file.shape[0], self.context.season.max_cells
        if n == 0:
            return self.failed("There are no cells.", "Write the predicted cells into the file.")
        if n > cap:
            return self.failed(
                f"There are {n:,} cells; {cap:,} are allowed.",
                "Take fewer cells, or fewer controls.",
                rule="cells" if n <= PACKAGER_CELLS.get(self.context.season.container.name, 0) else "",
                mend="cut_cells",
            )
        return self.ok(f"There are {n:,} cells of {cap:,} allowed.")
