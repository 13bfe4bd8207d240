"""Control cells are left out where the season forbids them, under whatever word they stand."""

import numpy as np

from vccapp.submission.labels import find_control_labels
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("drop_controls")
class DropControls(Mend):
    label = "Leave control cells out"
    order = 40

    def apply(self, draft: Draft) -> str | None:
        season = draft.context.season
        if season.controls != "forbidden":
            return None
        asked = draft.asked_targets
        alike = find_control_labels(dict.fromkeys(draft.targets.tolist()), season.control_label)
        names = [season.control_label, *(label for label in alike if asked and label not in asked)]
        rows = np.isin(draft.targets, names) & (draft.times > 0)
        if not rows.any():
            return None
        draft.times[rows] = 0
        return f"{int(rows.sum()):,} control cells are left out."
