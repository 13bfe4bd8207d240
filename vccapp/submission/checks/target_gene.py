"""The perturbed gene is lower than in the controls: the challenge's cells are CRISPRi knock-downs."""

import numpy as np

from vccapp.evaluation.quality import LABELS, SILENCED, find_targets, judge_targets
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("target_gene")
class TargetGene(Check):
    label = LABELS["target_gene"]
    why = "The challenge's cells are knock-downs: the target itself is the surest effect there is."

    def finish(self) -> CheckResult:
        context, means, which = self.context, self.context.means, self.context.perturbations()
        reference = context.references(which)
        if reference is None or means is None:
            return self.skipped("There are no controls, or too many labels, to compare.")
        rows, left = self._measure(which, means, reference)
        if not len(left):
            return self.skipped("No target gene is expressed in the controls.")
        kept = [context.labels[which[i]] for i in rows[~(left < SILENCED)]]
        found = f"{len(kept):,} of {len(left):,} expressed target genes keep {SILENCED:.0%} or more of their expression"
        found += f" ({name_some(kept)})." if kept else "."
        if judge_targets(left) == "ok":
            return self.ok(found)
        return self.warning(
            found,
            "Knock-downs reduce their target; set it explicitly, or use a model that knows the knock-down.",
        )

    def _measure(self, which: np.ndarray, means: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `which`, and the share of the target that is left in each; context by context."""
        context, rows, left = self.context, [np.zeros(0, np.int64)], [np.zeros(0)]
        names = [context.contexts[i] for i in which]
        for name in dict.fromkeys(names):
            of = np.flatnonzero([own == name for own in names])
            own = reference[of[0] if len(reference) > 1 else 0]
            targets = find_targets([context.targets[which[i]] for i in of], context.file.genes, own)
            rows.append(of[targets.rows])
            left.append(targets.measure_left(means[which[of]], own))
        return np.concatenate(rows), np.concatenate(left)
