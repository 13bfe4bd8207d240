"""Control cells are like those of the training data, where these are named: a file that is all on another scale, or of
other cells, agrees with itself."""

import numpy as np

from vccapp.evaluation.quality import Limits
from vccapp.submission.check import CHECKS, Check, CheckResult, Row
from vccapp.submission.checking.context import pool

LIKENESS = Limits(warning=0.9, problem=0.5)
"""Correlation of two profiles of control cells over genes, log1p units; batches of one line have 0.95 and more."""
FACTOR = Limits(warning=1.3, problem=2.0)
"""How far the best factor between them may be from 1, either way; logarithms to base 2 give 1.44."""
FEW_GENES = 10


@CHECKS.register("training_controls")
class TrainingControls(Check):
    label = "Controls are the training data's"
    why = "Scores compare with the real controls: a shift or factor in the file's own is an error in every gene."

    def finish(self) -> CheckResult:
        context, data = self.context, self.context.data
        if data is None:
            return self.skipped("Name the training data to compare with their control cells.")
        counted = context.space == "counts"
        groups, (there, here) = context.controls(), data.places(context.file.genes)
        means, profiles = (context.sums, data.counts) if counted else (context.means, data.logs)
        if means is None or not len(groups) or not profiles or len(there) < FEW_GENES:
            return self.skipped("There are no control cells that could be compared with the training data's.")
        rows: list[Row] = []
        for group in groups:
            name = context.contexts[group]
            known = [profiles[name or ""]] if (name or "") in profiles else profiles.values()
            pairs = [np.stack([means[group][there], profile[here]]) for profile in known]
            likeness, factor = max(_compare(*(pool(pair) if counted else pair)) for pair in pairs)
            rows.append(({"context": name} if name else {}) | {"correlation": likeness, "factor": factor})
        return self._judge(rows)

    def _judge(self, rows: list[Row]) -> CheckResult:
        worst = min(float(row["correlation"]) for row in rows)
        factor = max((float(row["factor"]) for row in rows), key=_fold)
        table = [
            {name: value if isinstance(value, str) else round(value, 3) for name, value in r.items()} for r in rows
        ]
        found = f"correlation {worst:.2f}, best factor {factor:.2f} on their mean log1p values"
        if LIKENESS.judge(worst) != "ok":
            return self.warning(
                f"Control cells are unlike the training data's: {found}.",
                "Copy control cells of the training data, and start predictions from them.",
                table=table,
            )
        if FACTOR.judge(_fold(factor)) != "ok":
            return self.warning(
                f"Control cells are like the training data's on another scale: {found}.",
                "Write natural log1p of counts at the depth of the training data.",
                table=table,
            )
        return self.ok(f"Control cells are like the training data's: {found}.", table=table)


def _compare(own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Correlation over genes (0 where either is constant), and the factor that brings `other` nearest to `own`."""
    a, b = own - own.mean(), other - other.mean()
    return float(a @ b / max(np.sqrt((a @ a) * (b @ b)), 1e-12)), float(own @ other / max(other @ other, 1e-12))


def _fold(factor: float) -> float:
    return max(factor, 1 / factor) if factor > 0 else np.inf
