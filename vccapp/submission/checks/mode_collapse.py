"""Perturbations differ. If all pseudobulks are equal, PDS (which real effect is nearest?) is at chance."""

from vccapp.evaluation.quality import LABELS, NO_EFFECT, judge_collapse, measure_collapse
from vccapp.submission.check import CHECKS, Check, CheckResult


@CHECKS.register("mode_collapse")
class ModeCollapse(Check):
    label = LABELS["mode_collapse"]
    why = "PDS asks which real effect is nearest: equal predictions are at chance."

    def finish(self) -> CheckResult:
        context, means, which = self.context, self.context.means, self.context.perturbations()
        reference = context.references(which)
        if reference is None or means is None or len(which) < 2:
            return self.skipped("There are no controls, fewer than two perturbations, or too many labels, to compare.")
        found = measure_collapse(means[which] - reference, reference.mean(axis=0))
        specific = f"{found.specific:.1%} of the mean effect is specific to single perturbations"
        if judge_collapse(found) == "ok":
            return self.ok(f"{specific}.")
        what = f"All perturbations have nearly the same pseudobulk: {specific}"
        if found.effect <= NO_EFFECT:
            what = "The pseudobulks of all perturbations equal the controls'"
        return self.warning(
            f"{what}; PDS will be at chance.",
            "The mean baselines do this by design; for PDS use a model whose effects depend on the perturbation.",
        )
