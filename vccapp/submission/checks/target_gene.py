"""The perturbed gene is lower than in the controls: the challenge's cells are CRISPRi knock-downs."""

from vccapp.data.schema import genes_of, positions_of
from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("target_gene")
class TargetGene(Check):
    label = "Target genes are reduced"

    def finish(self) -> CheckResult:
        context, control, means = self.context, self.context.control(), self.context.means()
        if control is None or means is None:
            return self.skipped("There are no controls, or too many labels, to compare.")
        column = positions_of(context.file.genes)
        pairs = [
            (context.labels[i], means[i, column[gene]] / means[control, column[gene]])
            for i in context.perturbations()
            for gene in genes_of(context.labels[i])
            if gene in column and means[control, column[gene]] > 0
        ]
        if not pairs:
            return self.skipped("No target gene is expressed in the controls.")
        kept = [label for label, ratio in pairs if not ratio < 1]
        if kept:
            return self.warning(
                f"{len(kept):,} of {len(pairs):,} expressed target genes are not lower than in the controls "
                f"({name_some(kept)}).",
                "Knock-downs reduce their target; set it explicitly, or use a model that knows the knock-down.",
            )
        return self.ok(f"All {len(pairs):,} expressed target genes are lower than in the controls.")
