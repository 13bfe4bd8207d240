"""The cells of each context are like its own control cells, not like those of another: no packager can see a swap."""

import numpy as np

from vccapp.seasons.base import Season
from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("swapped_contexts")
class SwappedContexts(Check):
    label = "Contexts are not swapped"
    why = "Two contexts under each other's name are scored against the wrong cells, and no packager sees it."

    @classmethod
    def applies(cls, season: Season) -> bool:
        return season.context_col is not None

    def finish(self) -> CheckResult:
        context, profiles = self.context, self.context.reference_profiles()
        means, which = context.means, context.perturbations()
        present = sorted({name for i in which if (name := context.contexts[i]) in profiles})
        if means is None or len(profiles) < 2 or not present:
            return self.skipped("The control cells of the contexts are not known (open the season's bundle).")
        own = {name: np.mean([means[i] for i in which if context.contexts[i] == name], axis=0) for name in present}
        # what all contexts share says nothing of which is which
        shared = np.mean(list(profiles.values()), axis=0)
        likeness = {
            name: {other: _correlate(mean - shared, profile - shared) for other, profile in profiles.items()}
            for name, mean in own.items()
        }
        rows = [
            {"context": name, **{f"like {o}": round(r, 3) for o, r in near.items()}} for name, near in likeness.items()
        ]
        off = {name: best for name, near in likeness.items() if (best := max(near, key=near.__getitem__)) != name}
        if off:
            said = ", ".join(f"{name} is more like {best}" for name, best in off.items())
            return self.warning(
                f"By their mean expression, cells of {said}.",
                "Compare the names of contexts in the code that made the file with those of the control files.",
                table=rows,
            )
        return self.ok("The cells of each context are most like its own control cells.", table=rows)


def _correlate(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(np.sqrt((a @ a) * (b @ b)), 1e-12))
