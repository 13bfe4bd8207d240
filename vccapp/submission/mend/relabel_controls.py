"""Control cells under another word, such as NT or control, get the season's label."""

import numpy as np

from vccapp.submission.labels import find_control_labels
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend
from vccapp.wording import name_some


@MENDS.register("relabel_controls")
class RelabelControls(Mend):
    label = "Label the controls as the season does"
    order = 30

    def apply(self, draft: Draft) -> str | None:
        season = draft.context.season
        present = dict.fromkeys(draft.targets.tolist())
        if season.controls == "forbidden" or season.control_label in present:
            return None
        alike = [
            label
            for label in find_control_labels(present, season.control_label)
            if label not in draft.asked_targets and label not in draft.context.file.genes
        ]
        if not alike:
            return None
        draft.targets[np.isin(draft.targets, alike)] = season.control_label
        return f"Cells of {name_some(alike)} are labelled '{season.control_label}'."
