"""X is written without explicit zeros, sorted, each position once, as every mended file is."""

from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("drop_zeros")
class DropZeros(Mend):
    label = "Drop explicit zeros, sort, sum repeats"
    order = 122

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name):
            return None
        return "Explicit zeros are dropped, values are sorted by gene, repeated ones are summed."
