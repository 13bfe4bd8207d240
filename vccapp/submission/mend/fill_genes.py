"""Genes that are missing are filled, others left out: with values of control cells where data are given, else zeros.

A name without version, or in another case, is the gene that it means, where one column alone does. Control cells, not
their mean, stand in: a constant has no variance, and counts stay whole.
"""

from vccapp.seasons.gene_list import match_genes
from vccapp.submission.mending.draft import Draft, take_controls
from vccapp.submission.mending.mend import MENDS, Mend
from vccapp.wording import name_some


@MENDS.register("fill_genes")
class FillGenes(Mend):
    label = "Fill missing genes, leave others out"
    order = 100

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name) or draft.context.genes is None:
            return None
        context, found = draft.context, draft.context.file.genes
        draft.genes = list(context.genes or ())
        draft.columns = match_genes(draft.genes, found)
        missing = [gene for gene, column in zip(draft.genes, draft.columns, strict=True) if column < 0]
        renamed = sum(
            column >= 0 and found[column] != gene for gene, column in zip(draft.genes, draft.columns, strict=True)
        )
        used = len(draft.genes) - len(missing)
        what = "zeros"
        if missing and draft.donor is not None:
            draft.fill = take_controls(draft.donor, missing, context.space, seed=draft.seed)
            what = "the values of control cells"
        said = [f"{len(missing):,} genes are filled with {what} ({name_some(missing, 3)})"] if missing else []
        said += [f"{renamed:,} are named as in the list"] if renamed else []
        said += [f"{len(found) - used:,} others are left out"] if len(found) > used else []
        return f"{'; '.join(said)}."
