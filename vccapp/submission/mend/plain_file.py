"""The file is written anew with obs, var and X alone: no part is left that a packager cannot read."""

from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("plain_file")
class PlainFile(Mend):
    label = "Write obs, var and X alone"
    order = 123

    def apply(self, draft: Draft) -> str | None:
        if not draft.asks(self.name):
            return None
        return "The file is written anew, with obs, var and X alone."
