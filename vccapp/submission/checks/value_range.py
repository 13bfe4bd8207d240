"""Every value lies below the challenge's limit: natural log1p values do, counts and CPM do not."""

import numpy as np

from vccapp.seasons.base import Season
from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("value_range")
class ValueRange(Check):
    label = "Values are in range"
    why = "The packager refuses higher values: no log1p of counts reaches them."

    @classmethod
    def applies(cls, season: Season) -> bool:
        return season.max_value is not None

    def finish(self) -> CheckResult:
        limit = self.context.season.max_value or np.inf
        if self.context.space == "counts":
            return self.skipped("The limit is of log1p values, and these are counts.")
        values = self.context.values
        if above := values.counted["above"]:
            return self.failed(
                f"The highest value is {values.highest:.4g}; {above:,} values are not below {limit:g}.",
                "Write log1p of depth-normalised counts (natural logarithm), not counts or CPM.",
                rule="not_finite" if values.counted["not_finite"] else "",
                mend="natural_log",
            )
        return self.ok(f"The highest value is {values.highest:.4g}, below {limit:g}.")
