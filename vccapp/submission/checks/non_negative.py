"""No negative values: the official packager of 2025 does not see them all, and its log1p or rank test fails."""

from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("non_negative")
class NonNegative(Check):
    label = "Values are not negative"
    why = "There is no negative expression: logarithms and the rank test fail on it."

    def finish(self) -> CheckResult:
        values = self.context.values
        if found := values.counted["negative"]:
            return self.failed(
                f"{found:,} values are negative, the lowest is {values.lowest:.3g}.",
                "Submit expression, not effects or z-scores: add the control mean, and clip at 0.",
                rule="" if values.decimals else "negative",
            )
        return self.ok("No value is negative.")
