"""Contexts in another spelling get that of the phase: `a` and `context_A` become `A`."""

import numpy as np

from vccapp.submission.labels import fix_contexts
from vccapp.submission.mending.draft import Draft
from vccapp.submission.mending.mend import MENDS, Mend


@MENDS.register("rename_contexts")
class RenameContexts(Mend):
    label = "Spell contexts as the phase does"
    order = 10

    def apply(self, draft: Draft) -> str | None:
        phase = draft.context.phase
        if draft.contexts is None or phase is None or (draft.contexts == "").any():
            return None
        names = fix_contexts(dict.fromkeys(draft.contexts.tolist()), phase.contexts)
        if not names:
            return None
        draft.contexts = np.array([names.get(name, name) for name in draft.contexts], dtype=object)
        return "Contexts are renamed: " + ", ".join(f"'{old}' to {new}" for old, new in names.items()) + "."
