"""X is written by cell (CSR), as every mended file is."""

from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("csr")
class Csr(Mend):
    label = "Write X as CSR"
    order = 120

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name):
            return None
        return f"X is written as CSR; it was {draft.context.file.layout.upper()}."
