"""The perturbed gene is lower than in the controls: the challenge's cells are CRISPRi knock-downs."""

from vccapp.evaluation.quality import LABELS, SILENCED, find_targets, judge_targets
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("target_gene")
class TargetGene(Check):
    label = LABELS["target_gene"]

    def finish(self) -> CheckResult:
        context, control, means = self.context, self.context.control(), self.context.means()
        if control is None or means is None:
            return self.skipped("There are no controls, or too many labels, to compare.")
        which = context.perturbations()
        names = [context.labels[i] for i in which]
        targets = find_targets(names, context.file.genes, means[control])
        if not len(targets.rows):
            return self.skipped("No target gene is expressed in the controls.")
        left = targets.measure_left(means[which], means[control])
        kept = [names[i] for i in targets.rows[~(left < SILENCED)]]
        found = f"{len(kept):,} of {len(left):,} expressed target genes keep {SILENCED:.0%} or more of their expression"
        found += f" ({name_some(kept)})." if kept else "."
        if judge_targets(left) == "ok":
            return self.ok(found)
        return self.warning(
            found,
            "Knock-downs reduce their target; set it explicitly, or use a model that knows the knock-down.",
        )
