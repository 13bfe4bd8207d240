"""Every cell has a label, and the labels are those that the season asks for, in each context."""

from collections import Counter
from collections.abc import Mapping

from vccapp.data.schema import AT
from vccapp.submission.budget import explain_labels
from vccapp.submission.check import CHECKS, Check, CheckResult, Row
from vccapp.submission.labels import strip_suffixes
from vccapp.wording import name_some


@CHECKS.register("perturbations")
class Perturbations(Check):
    label = "Perturbations are the season's"
    why = "The scorer needs exactly the perturbations of the real cells: one that is missing or misnamed has no score."

    def finish(self) -> CheckResult:
        context = self.context
        found = {context.labels[i]: int(context.n_cells[i]) for i in context.perturbations()}
        targets = {context.labels[i]: context.targets[i] for i in context.perturbations()}
        unlabelled = self._unlabelled()
        if unlabelled:
            return self.failed(
                f"{unlabelled:,} cells have no {context.season.pert_col}.",
                "Label every cell, or leave it out.",
                rule="unlabelled",
                mend="" if context.cells is not None or context.asked is None else "drop_unasked",
            )
        strange = self._strange(list(dict.fromkeys(targets.values())))
        asked = context.asked
        if asked is None:
            return (
                strange
                or self._practice(len(found))
                or self.warning(
                    f"There are {len(found):,} perturbations; the expected ones are unknown.",
                    "Provide the challenge's pert_counts CSV to compare them.",
                )
            )
        missing, extra = [p for p in asked if p not in found], [p for p in found if p not in asked]
        if missing or extra:
            return self._differ(asked, missing, extra, targets)
        planned = context.cells or {}
        other = [p for p, n in found.items() if p in planned and n != planned[p]]
        if other:
            return self.failed(
                f"{other[0]} has {found[other[0]]:,} cells, the plan says {planned[other[0]]:,}; so do "
                f"{len(other) - 1:,} others differ.",
                "Generate the cells again from the plan.",
                rule="planned",
            )
        if doubt := strange or self._practice(len(found)):
            return doubt
        told = ", the phase that they fit" if context.found and context.asked_by == context.phase_name else ""
        return self.ok(f"All {len(asked):,} perturbations of {context.asked_by}{told}, are there, and no others.")

    def _practice(self, n: int) -> CheckResult | None:
        """A warning where the targets are not the season's."""
        off = self.context.off_season()
        if not off:
            return None
        return self.warning(
            f"This is practice: {len(off):,} of {n:,} perturbations are not of {self.context.phase_name}.",
            "Predict the season's own targets to have the file scored.",
        )

    def _unlabelled(self) -> int:
        labels = self.context.file.labels
        blank = [i for i, label in enumerate(map(str, labels.categories)) if not label.strip()]
        return int((labels.codes < 0).sum()) + sum(int((labels.codes == i).sum()) for i in blank)

    def _differ(
        self, asked: Mapping[str, int | None], missing: list[str], extra: list[str], targets: dict[str, str]
    ) -> CheckResult:
        parts = [f"{len(missing):,} are missing ({name_some(missing)})"] if missing else []
        parts += [f"{len(extra):,} are unexpected ({name_some(extra)})"] if extra else []
        suffixes = strip_suffixes(
            dict.fromkeys(targets[label] for label in extra), {label.partition(AT)[0] for label in asked}
        )
        fix = "Submit exactly the perturbations that the challenge lists, with the same spelling."
        if suffixes:
            one = next(iter(suffixes))
            fix = f"Labels such as {name_some([one])} name guides: write the target, {suffixes[one]}."
        rows = (
            self._by_context(missing, extra)
            if self.context.file.contexts is not None
            else self._by_name(missing, extra)
        )
        return self.failed(
            f"Of {len(asked):,} perturbations of {self.context.asked_by} {' and '.join(parts)}.",
            fix,
            rule="perturbations",
            mend="strip_suffixes" if suffixes else "" if missing or self.context.cells is not None else "drop_unasked",
            table=rows,
        )

    def _by_name(self, missing: list[str], extra: list[str]) -> list[Row]:
        return [
            {"perturbation": p, "is": kind} for kind, of in (("missing", missing), ("unexpected", extra)) for p in of
        ]

    def _by_context(self, missing: list[str], extra: list[str]) -> list[Row]:
        """Numbers of each context."""
        lacking, more = (Counter(label.partition(AT)[2] for label in labels) for labels in (missing, extra))
        rows: list[Row] = []
        for context in sorted({*lacking, *more}):
            of = [p.partition(AT)[0] for p in [*missing, *extra] if p.partition(AT)[2] == context]
            numbers = {"missing": lacking[context], "unexpected": more[context]}
            rows.append({"context": context, **numbers, "first": name_some(of, 3)})
        return rows

    def _strange(self, labels: list[str]) -> CheckResult | None:
        """A warning of labels that are no genes of the file, also where a list has them."""
        found = explain_labels(labels, self.context.file.genes)
        if not found:
            return None
        return self.warning(
            f"Of {len(labels):,} perturbations these are no genes of the file: {found}.",
            "Compare the spelling with the challenge's list: spreadsheets change names such as MARCHF1.",
        )
