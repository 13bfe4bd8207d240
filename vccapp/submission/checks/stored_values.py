"""No more stored values than the season's scorer holds in memory: cells of a model without zeros exceed them."""

from scipy.sparse import csr_matrix

from vccapp.seasons.base import Season
from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("stored_values")
class StoredValues(Check):
    label = "Stored values"
    why = "The scorer's memory grows with the stored values, whatever the number of cells."

    @classmethod
    def applies(cls, season: Season) -> bool:
        return season.max_values is not None

    def start(self) -> None:
        self.stored = 0

    def block(self, start: int, csr: csr_matrix) -> None:
        self.stored += csr.nnz

    def finish(self) -> CheckResult:
        cap, zeros = self.context.season.max_values or 0, self.context.values.counted["zeros"]
        if self.stored > cap:
            mend = "drop_zeros" if self.stored - zeros <= cap else ""
            return self.failed(
                f"X stores {self.stored:,} values, {zeros:,} of them zero; {cap:,} are allowed.",
                "Real cells have some 6,000 genes: store no zeros, and predict whole counts that can be zero.",
                mend=mend,
            )
        return self.ok(f"X stores {self.stored:,} values of {cap:,} allowed.")
