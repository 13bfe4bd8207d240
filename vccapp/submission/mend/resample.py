"""Each perturbation gets exactly the number of cells that the season asks for: too many are drawn from without
replacement, of too few some are taken twice, as long as no cell is needed three times."""

from vccapp.errors import CheckError
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend
from vccapp.wording import name_some


@MENDS.register("resample")
class Resample(Mend):
    label = "Draw the exact number of cells"
    order = 70

    def apply(self, draft: Draft) -> str | None:
        exact, asked = draft.context.season.cells_per_target, draft.context.asked
        if exact is None:
            return None
        control = draft.context.season.control_label
        groups = {
            label: rows
            for label, rows in draft.groups().items()
            if draft.targets[rows[0]] != control and (asked is None or label in asked) and len(rows) != exact
        }
        if not groups:
            return None
        few = [label for label, rows in groups.items() if 2 * len(rows) < exact]
        if few:
            raise CheckError(
                "too_few_cells",
                f"{name_some(few)} have fewer than half of {exact:,} cells: repeats would pass for cells",
                fix="generate more cells",
            )
        rng = draft.rng(self.name)
        for label in sorted(groups):
            rows = groups[label]
            draft.times[rows] = 1 if len(rows) < exact else 0
            draft.times[rng.choice(rows, abs(exact - len(rows)) if len(rows) < exact else exact, replace=False)] += 1
        fewer = sum(len(rows) < exact for rows in groups.values())
        also = f"; in {fewer:,} some cells stand twice" if fewer else ""
        return f"{len(groups):,} perturbations are brought to {exact:,} cells by drawing{also}."
