"""Cells of perturbations that nobody asks for, and cells without a label, are left out where all that is asked for is
there: no score would ever look at them."""

import numpy as np

from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend
from vccapp.wording import name_some


@MENDS.register("drop_unasked")
class DropUnasked(Mend):
    label = "Leave out what is not asked for"
    order = 50

    def apply(self, draft: Draft) -> str | None:
        asked = draft.context.asked
        if asked is None or draft.context.cells is not None:
            return None
        groups = draft.groups()
        if any(label not in groups for label in asked):
            return None
        control = draft.context.season.control_label
        extra = {label: rows for label, rows in groups.items() if label not in asked}
        extra = {label: rows for label, rows in extra.items() if draft.targets[rows[0]] != control}
        if not extra:
            return None
        rows = np.concatenate(list(extra.values()))
        draft.times[rows] = 0
        return f"{len(rows):,} cells that are not asked for are left out ({name_some(map(_say, extra))})."


def _say(label: str) -> str:
    return label if label.strip() else "without label"
