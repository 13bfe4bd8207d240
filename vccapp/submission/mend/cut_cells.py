"""Cells are drawn down to the cap: each group in its share, each perturbation kept."""

from vccapp.submission.budget import scale_cells
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("cut_cells")
class CutCells(Mend):
    label = "Draw cells down to the cap"
    order = 80

    def apply(self, draft: Draft) -> str | None:
        cap, n_cells = draft.context.season.max_cells, draft.n_cells
        if n_cells <= cap:
            return None
        groups = draft.groups()
        n_added = sum(draft.added.values())
        numbers = {label: len(rows) for label, rows in groups.items()}
        kept = scale_cells(numbers, n_controls=n_added, max_cells=cap)
        rng = draft.rng(self.name)
        for label in sorted(groups):
            rows = groups[label]
            chosen = rng.choice(rows, kept[label], replace=False)
            draft.times[rows] = 0
            draft.times[chosen] = 1
        return f"{n_cells:,} cells are drawn down to {cap:,}, each label in its share."
