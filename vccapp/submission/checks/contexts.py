"""Every cell names its context, and the contexts are those of the phase, spelled as the organisers spell them."""

import numpy as np

from vccapp.seasons.base import Season
from vccapp.submission.check import CHECKS, Check, CheckResult, Row
from vccapp.submission.labels import fix_contexts
from vccapp.wording import name_some


@CHECKS.register("contexts")
class Contexts(Check):
    label = "Contexts are the phase's"
    why = "Each context is scored against its own cells: a file with other contexts is refused."

    @classmethod
    def applies(cls, season: Season) -> bool:
        return season.context_col is not None

    def finish(self) -> CheckResult:
        context = self.context
        column, file, phase = context.season.context_col, context.file, context.phase
        asked = list(phase.contexts) if phase else []
        name = context.phase_name
        if file.contexts is None:
            return self.failed(
                f"obs has no column '{column}', and {name} has the contexts {name_some(asked)}.",
                f"Name the context of each cell in a column '{column}'.",
            )
        labels = [str(label) for label in file.contexts.categories]
        numbers = np.bincount(file.contexts.codes[file.contexts.codes >= 0], minlength=len(labels))
        found = {label: int(n) for label, n in zip(labels, numbers, strict=True) if n}
        without = int((file.contexts.codes < 0).sum())
        missing, unknown = [c for c in asked if c not in found], [c for c in found if c not in asked]
        rows: list[Row] = [
            {"context": c, "cells": found.get(c, 0), "asked": "yes" if c in asked else "no"}
            for c in {**dict.fromkeys(asked), **found}
        ]
        if not (missing or unknown or without):
            told = " (told by them)" if context.found else ""
            return self.ok(f"The contexts are {name_some(found)}, those of {name}{told}.", table=rows)
        parts = [f"{name_some(missing)} missing"] if missing else []
        parts += [f"{name_some(unknown)} not known"] if unknown else []
        parts += [f"{without:,} cells without context"] if without else []
        other = self._other_phase(set(found))
        fix = (
            f"They are the contexts of the phase {other}: choose it, or make cells of {name_some(asked)}."
            if other
            else (f"Name the contexts {name_some(asked)}, as the control files do.")
        )
        mend = "rename_contexts" if fix_contexts(found, asked) and not without else ""
        return self.failed(f"Of the contexts of {name}: {'; '.join(parts)}.", fix, mend=mend, table=rows)

    def _other_phase(self, found: set[str]) -> str:
        for phase in self.context.season.phases:
            if phase is not self.context.phase and found and found <= set(phase.contexts):
                return phase.label
        return ""
