"""Control cells of a dataset are copied in: all where they fit beside the predictions, else a tenth of the cap."""

from vccapp.errors import CheckError
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend

SHARE = 0.1
"""Of the cap that controls take where not all fit."""


@MENDS.register("add_controls")
class AddControls(Mend):
    label = "Add control cells"
    order = 60

    def apply(self, draft: Draft) -> str | None:
        season = draft.context.season
        if season.controls != "required":
            return None
        groups = draft.groups()
        contexts = dict.fromkeys(draft.contexts.tolist()) if draft.contexts is not None else {None: None}
        there = {
            None if draft.contexts is None else draft.contexts[rows[0]]
            for rows in groups.values()
            if draft.targets[rows[0]] == season.control_label
        }
        lacking = [context for context in contexts if context not in there]
        if not lacking:
            return None
        if draft.donor is None:
            raise CheckError(
                "needs_dataset",
                "Control cells can only be copied from data",
                fix="name a dataset whose control cells are those of the challenge (--dataset)",
            )
        n_cells = int(draft.times.sum())
        for context in lacking:
            there_are = draft.donor.count(context)
            room = max(season.max_cells - n_cells, round(SHARE * season.max_cells)) // len(lacking)
            draft.added[context] = min(there_are, room)
        return f"{sum(draft.added.values()):,} control cells of the dataset are added."
