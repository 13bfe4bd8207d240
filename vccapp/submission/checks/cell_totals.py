"""No cell has more counts than the season's scorer takes."""

import numpy as np

from vccapp.seasons.base import Season
from vccapp.submission.check import CHECKS, Check, CheckResult

SHOWN = 10


@CHECKS.register("cell_totals")
class CellTotals(Check):
    label = "Counts of a cell"
    why = "The scorer refuses a file of counts with a cell above the limit."

    @classmethod
    def applies(cls, season: Season) -> bool:
        return season.max_cell_total is not None

    def finish(self) -> CheckResult:
        totals, cap = self.context.totals, self.context.season.max_cell_total or np.inf
        highest = float(totals.max(initial=0))
        above = int((totals > cap).sum())
        if above:
            worst = np.argsort(-totals, kind="stable")[: min(above, SHOWN)]
            return self.failed(
                f"{above:,} cells have more than {cap:,.0f} counts; cell {worst[0]} has {highest:,.6g}.",
                "Scale the prediction to the depth of the control cells, about 20,000 counts a cell.",
                table=[{"cell": int(cell), "counts": float(totals[cell])} for cell in worst],
            )
        return self.ok(f"Cells have up to {highest:,.6g} counts of {cap:,.0f} allowed.")
