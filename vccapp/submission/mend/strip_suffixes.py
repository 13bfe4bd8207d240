"""Labels of guides become those of their targets: `ADNP-1` becomes ADNP, where ADNP is asked for and ADNP-1 is not."""

import numpy as np

from vccapp.submission.labels import strip_suffixes
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend
from vccapp.wording import name_some


@MENDS.register("strip_suffixes")
class StripSuffixes(Mend):
    label = "Name targets, not guides"
    order = 20

    def apply(self, draft: Draft) -> str | None:
        names = strip_suffixes(dict.fromkeys(draft.targets.tolist()), draft.asked_targets)
        if not names:
            return None
        draft.targets = np.array([names.get(name, name) for name in draft.targets], dtype=object)
        first = next(iter(names))
        return f"{len(names):,} labels of guides are named by their targets ({name_some([first])} to {names[first]})."
