"""Perturbations differ from each other. If all pseudobulks are equal, PDS (which real effect is nearest?) is at chance.

    effect = mean over perturbations of |x(p) - x(control)|, summed over genes; held against the control's sum
    share  = mean over perturbations of |x(p) - mean of x|, over effect

Measured: mean baselines have an effect of 0.0009 (control mean) or a share of 0.02-0.04; real H1 cells 0.014 and 0.74.
"""

import numpy as np

from vccapp.submission.check import CHECKS, Check, CheckResult

NO_EFFECT = 0.002
SHARE = 0.1


@CHECKS.register("mode_collapse")
class ModeCollapse(Check):
    label = "Perturbations differ"

    def finish(self) -> CheckResult:
        context, means, which = self.context, self.context.means(), self.context.perturbations()
        control = context.control()
        if control is None or means is None or len(which) < 2:
            return self.skipped("There are no controls, fewer than two perturbations, or too many labels, to compare.")
        effects = means[which] - means[control]
        effect = np.abs(effects).sum(axis=1).mean()
        spread = np.abs(effects - effects.mean(axis=0)).sum(axis=1).mean()
        if effect <= NO_EFFECT * means[control].sum():
            return self._collapsed("The pseudobulks of all perturbations equal the controls'")
        if spread < SHARE * effect:
            found = f"only {spread / effect:.1%} of the mean effect is specific to single perturbations"
            return self._collapsed(f"All perturbations have nearly the same pseudobulk: {found}")
        return self.ok(f"{spread / effect:.0%} of the mean effect is specific to single perturbations.")

    def _collapsed(self, found: str) -> CheckResult:
        return self.warning(
            f"{found}; PDS will be at chance.",
            "The mean baselines do this by design; for PDS use a model whose effects depend on the perturbation.",
        )
