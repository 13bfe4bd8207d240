"""X is written as float32, as every mended file is."""

from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("float32")
class Float32(Mend):
    label = "Write X as float32"
    order = 121

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name):
            return None
        return f"X is written as float32; it was {draft.context.file.dtype.newbyteorder('=').name}."
