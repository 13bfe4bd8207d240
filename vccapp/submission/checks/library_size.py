"""Cell totals are what is known from outside (pert_counts, control cells, the season), and predictions' are like the
controls': another base or scale of the logarithm shows here, of the whole file too."""

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.evaluation.quality import (
    LABELS,
    LIBRARY,
    judge_depth,
    judge_library,
    measure_folds,
    sum_scales,
)
from vccapp.submission.check import CHECKS, Check, CheckResult, Row
from vccapp.wording import name_some

SAMPLED = 32
"""Cells of a block whose sums are taken on every scale; on the natural one, all are."""


@CHECKS.register("library_size")
class LibrarySize(Check):
    label = LABELS["library_size"]
    why = "Scores compare values as they are: another base, scale or depth is an error in every gene."

    def start(self) -> None:
        self.scales: list[np.ndarray] = []

    def block(self, start: int, csr: csr_matrix) -> None:
        if "log1p" in self.context.season.spaces and self.context.depth is not None:
            self.scales.append(sum_scales(csr[:: -(-csr.shape[0] // SAMPLED)]))

    def finish(self) -> CheckResult:
        if self.context.space == "counts":
            return self._judge_counts()
        depth, inside = self.context.depth, self._compare_inside(self.context.logs)
        if depth is None or not self.scales or inside.status == "warning":
            return inside
        verdict, found = judge_depth(np.concatenate(self.scales), depth)
        if verdict == "ok":
            return self.ok(f"{found[0].upper()}{found[1:]}. {inside.message}")
        return self.warning(
            f"{found[0].upper()}{found[1:]}.",
            "Write natural log1p of counts that were scaled to that depth.",
            mend="natural_log" if "look like" in found else "",
        )

    def _judge_counts(self) -> CheckResult:
        """Of counts: the median of each context against what is known of its cells, then groups against each other."""
        context, totals = self.context, self.context.totals
        rows: list[Row] = []
        off = []
        for name in dict.fromkeys(context.contexts):
            groups = [i for i, own in enumerate(context.contexts) if own == name and context.n_cells[i]]
            depth = context.depth_of(name)
            if depth is None or not groups:
                continue
            median = float(np.median(totals[np.isin(context.all_codes, groups)]))
            row: Row = {"context": name} if name is not None else {}
            rows.append(row | {"median counts": round(median), "known": round(depth.total)})
            if median <= 0 or LIBRARY.judge(float(measure_folds(np.array([median / depth.total]))[0])) != "ok":
                off.append((name, median, depth))
        if off:
            name, median, depth = off[0]
            where = f" of {name}" if name is not None else ""
            return self.warning(
                f"Cells{where} have {median:,.0f} counts (median), {median / depth.total:.2g} times the "
                f"{depth.total:,.0f} that {depth.source}.",
                "Scale or thin the prediction to that depth: it decides how many genes test as differential.",
                table=rows,
            )
        inside = self._compare_inside(totals)
        if inside.status == "warning" or not rows:
            return inside
        said = ", ".join(f"{row.get('context', 'all cells')}: {row['median counts']:,}" for row in rows)
        return self.ok(f"Median counts of a cell are as in control cells ({said}).", table=rows)

    def _compare_inside(self, totals: np.ndarray) -> CheckResult:
        """Of the perturbations with the file's own controls; without, with those of all its cells."""
        context = self.context
        codes, which, controls = context.all_codes, context.perturbations(), context.controls()
        if not len(which):
            return self.skipped("There are no perturbations to compare.")
        medians = np.array([np.median(totals[codes == i]) for i in which])
        if len(controls):
            of = {context.contexts[i]: float(np.median(totals[codes == i])) for i in controls}
            known = [of.get(context.contexts[i], 0.0) for i in which]
        elif context.season.controls == "required":
            known = [0.0]
        else:
            known = [float(np.median(medians))] * len(which)
        if min(known) <= 0:
            return self.skipped("There are no non-empty controls to compare with.")
        ratios = medians / np.array(known)
        what = "the controls'" if len(controls) else "their median,"
        found = f"{ratios.min():.2f} to {ratios.max():.2f} times {what} {known[0]:,.0f}"
        folds = measure_folds(ratios)
        if judge_library(folds) == "ok":
            return self.ok(f"Median cell totals are {found}.")
        bad = np.flatnonzero(folds > LIBRARY.warning)
        bad = bad[np.argsort(-folds[bad], kind="stable")]
        off = [context.labels[which[i]] for i in bad]
        kind = "" if context.space == "counts" else " (sum of expm1)"
        fix = "Normalise predictions like the controls: natural log1p, same target total."
        return self.warning(
            f"Median cell totals{kind} are {found}; {len(off):,} perturbations are more than "
            f"{LIBRARY.warning:g} times off ({name_some(off)}).",
            fix if context.space == "log1p" else "Give all perturbations the depth of the control cells.",
            table=[{"perturbation": context.labels[which[i]], "times": round(float(ratios[i]), 3)} for i in bad],
        )
