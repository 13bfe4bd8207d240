"""Counts are whole numbers, where the values are counts: in a season that takes nothing else, or by their look."""

from vccapp.seasons.base import Season
from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("whole_counts")
class WholeCounts(Check):
    label = "Counts are whole numbers"
    why = "The scorer tests counts against counts, and refuses fractions."

    @classmethod
    def applies(cls, season: Season) -> bool:
        return "counts" in season.spaces

    def finish(self) -> CheckResult:
        context, values = self.context, self.context.values
        if context.space != "counts":
            return self.skipped(f"The values are log1p, which {context.season.label} takes too.")
        if not values.fractions:
            return self.ok(f"All values are whole numbers, the highest is {values.highest:,.6g}.")
        looks = "log-normalised" if values.highest < 20 else "means or normalised counts"
        return self.failed(
            f"{values.fractions:,} of {context.file.n_values:,} values are no whole numbers (highest "
            f"{values.highest:.4g}): they look {looks}.",
            "Submit raw counts: those before normalisation, or numbers drawn from the predicted means.",
            rule="disorder" if values.counted["disorder"] else "fractions",
            mend="counts_from_log" if values.highest < 20 else "round_counts",
        )
