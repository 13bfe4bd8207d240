"""Columns are put into the order of the gene list."""

from vccapp.seasons.gene_list import match_genes
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("reorder_genes")
class ReorderGenes(Mend):
    label = "Put genes in order"
    order = 90

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name) or draft.context.genes is None:
            return None
        draft.genes = list(draft.context.genes)
        draft.columns = match_genes(draft.genes, draft.context.file.genes)
        moved = int((draft.columns != range(len(draft.genes))).sum())
        return f"{moved:,} of {len(draft.genes):,} genes are put in the order of the gene list."
