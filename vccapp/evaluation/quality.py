"""What makes predicted cells hardly worth scoring, measured once and judged by one limit.

Compare's diagnostics, which know the real cells, and Submit's checks, which know the file alone, both ask here.
`measure_...`, `sum_counts` and `count_profiles` give the figure, `judge_...` the verdict. A limit has its reason beside
it; "measured" means: real cells, three mean baselines, ridge, kNN and bilinear, on H1 (600 x 1,000), Papalexi's THP-1,
Norman's K562, McFaline's three lines and simulated cells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.data.schema import genes_of, positions_of
from vccapp.models.parts.knockdown import MIN_CONTROL_MEAN

Verdict = Literal["ok", "warning", "problem"]
WORSE: tuple[Verdict, ...] = ("ok", "warning", "problem")


@dataclass(frozen=True)
class Limits:
    """Where a figure becomes a warning and a problem; above them, or below where the problem's is the smaller."""

    warning: float
    problem: float

    def judge(self, value: float) -> Verdict:
        sign = 1 if self.problem > self.warning else -1
        if sign * value > sign * self.problem:
            return "problem"
        return "warning" if sign * value > sign * self.warning else "ok"


LABELS = {
    "library_size": "Library size",
    "mode_collapse": "Perturbations differ",
    "target_gene": "Target genes are reduced",
    "identical_cells": "Cells of a perturbation differ",
}

LIBRARY = Limits(warning=1.25, problem=2.0)
"""Times that the totals (sum of expm1) of predicted cells are larger or smaller than the controls'.

A logarithm to base 2 makes totals at least 1.44 times as large, to base 10 at most 0.43 times, whatever the cells
(Bernoulli's inequality); cells of a wrong target sum are off by their ratio. Measured medians: 0.90 to 1.20.
"""
NEAR_SCALE = 1.1
"""Times by which cells read on another scale may miss the depth that is known, and still be said to look like it."""
UNLOGGED = 1e3
"""Times that values without a logarithm exceed the depth at least, read as if they had one; they are the last scale."""
EVEN = 1e-3
"""Relative spread of totals up to which all cells sum to the same; float32 values come within 1e-5."""
ROUND_TOTALS = {1e4: "10,000", 1e5: "100,000", 1e6: "1,000,000"}
"""Target sums that tools have by default, of which a dataset's own median is none."""
ROUND_FOLD = 1.02
"""Times by which a depth that is known must differ from such a target sum, to tell the two apart."""
NO_EFFECT = 0.002
"""Mean effect, as a share of the controls' pseudobulk, up to which a prediction is that of the controls.

At the size of H1, cells of the control mean reach 0.0009 by chance; real effects are 0.014 there, elsewhere more.
"""
SPECIFIC = Limits(warning=0.15, problem=0.05)
"""Share of the mean effect that is specific to single perturbations.

Measured: mean baselines have up to 0.10 (they differ in the target itself), the other models 0.22 to 0.71 where they
learned from 19 perturbations or more and down to 0.00 where from 7, real cells 0.69 to 1.03.
"""
SILENCED = 0.7
"""A target of which less than this share is left is reduced."""
MISSED_TARGETS = Limits(warning=0.2, problem=0.5)
"""Share of the targets that should be reduced and are not.

Up to 0.11 of the targets of real knock-downs have 70 % and more left (weak guides); without a knock-down in the model
it is 0.92 and more.
"""
DISTINCT = 0.5
"""Share of a label's cells that must differ: below, a rank test believes more than twice the cells that there are."""


LARGEST = 50.0
"""Values that no logarithm reaches; higher ones count as this."""


def _power(base: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.expm1(np.minimum(values, LARGEST) * np.log(base))


SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "natural log1p": _power(np.e),
    "log2(1 + x)": _power(2),
    "log10(1 + x)": _power(10),
    "log1p applied twice": lambda values: np.expm1(np.minimum(np.expm1(np.minimum(values, LARGEST)), LARGEST)),
    "square roots": np.square,
    "values without a logarithm": lambda values: values,
}
"""How counts come out of values, by what these may be; the first is what they should be."""


def sum_counts(cells: csr_matrix) -> np.ndarray:
    """(n,) float64: the total of each cell out of its log1p values. NaN counts as 0, infinity as a huge value."""
    return _sum_as(cells, SCALES["natural log1p"])


def sum_scales(cells: csr_matrix) -> np.ndarray:
    """(n, SCALES) float64: the total of each cell, if its values were of each scale."""
    return np.stack([_sum_as(cells, read) for read in SCALES.values()], axis=1)


def _sum_as(cells: csr_matrix, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    values = cells.data
    if not np.isfinite(values.sum(dtype=np.float64)):
        values = np.nan_to_num(values)
    values = read(np.maximum(values, 0).astype(np.float64))
    return np.asarray(csr_matrix((values, cells.indices, cells.indptr), shape=cells.shape).sum(axis=1)).ravel()


@dataclass(frozen=True)
class Depth:
    """What cells should sum to (expm1 of their values), and where that is known from: 'pert_counts says'."""

    total: float
    source: str


def judge_depth(sums: np.ndarray, depth: Depth) -> tuple[Verdict, str]:
    """Whether cells are on the scale that is known from outside, and what they look like.

    sums : (n, SCALES) of `sum_scales`, one cell or more; a single column where the natural scale alone is known
    """
    medians = np.median(sums, axis=0)
    ratio = float(medians[0]) / depth.total
    fold = float(measure_folds(np.array([ratio]))[0])
    verdict, target = LIBRARY.judge(fold), find_target(sums[:, 0]) if fold > ROUND_FOLD else ""
    median = f"{medians[0]:,.0f}" if 100 <= medians[0] < 1e9 else f"{medians[0]:.3g}"
    found = f"cells sum to {median} (expm1 of the values), {ratio:.2g} times the {depth.total:,.0f} that "
    found += depth.source
    if verdict == "ok" and not target:
        return "ok", found
    looks = f"log1p of counts per {target}" if target else name_scale(medians, depth.total)
    return max(verdict, "warning", key=WORSE.index), found + (f"; they look like {looks}" if looks else "")


def name_scale(medians: np.ndarray, total: float) -> str:
    """The scale, other than the natural logarithm's, on which cells would sum to `total`; "" where there is none.

    medians : (SCALES,) of the sums of cells
    """
    folds = measure_folds(medians / total)
    known = len(folds) if folds[0] > UNLOGGED else len(folds) - 1
    near = [i for i in range(1, known) if folds[i] < NEAR_SCALE]
    return list(SCALES)[min(near, key=folds.__getitem__)] if near else ""


def find_target(totals: np.ndarray) -> str:
    """The usual target sum to which all cells were scaled; "" where they were not."""
    low, middle, high = np.quantile(totals, [0.05, 0.5, 0.95])
    if high - low > EVEN * middle:
        return ""
    return next((name for target, name in ROUND_TOTALS.items() if abs(middle - target) < EVEN * target), "")


def measure_folds(ratios: np.ndarray) -> np.ndarray:
    """How many times larger or smaller: at least 1, infinite for 0. ratios : (n,) total of cells over the controls'."""
    with np.errstate(divide="ignore"):
        return np.exp(np.abs(np.log(ratios)))


def judge_library(folds: np.ndarray) -> Verdict:
    """folds : (n,) of each perturbation. The median decides; one alone beyond the larger limit is a warning."""
    verdict = LIBRARY.judge(float(np.median(folds)))
    return "warning" if verdict == "ok" and folds.max() > LIBRARY.problem else verdict


@dataclass(frozen=True)
class Collapse:
    """effect : mean over perturbations of |delta|, summed over genes, over the controls' pseudobulk
    specific : mean |delta - mean delta| over mean |delta|; 0 where there is no effect
    """

    effect: float
    specific: float


def measure_collapse(deltas: np.ndarray, control: np.ndarray) -> Collapse:
    """deltas : (n, n_genes) pseudobulks minus the controls', control : (n_genes,) log1p units."""
    effect, total = float(np.abs(deltas).sum(axis=1).mean()), float(control.sum())
    apart = float(np.abs(deltas - deltas.mean(axis=0)).sum(axis=1).mean())
    return Collapse(effect / total if total else np.inf, apart / effect if effect else 0.0)


def judge_collapse(found: Collapse) -> Verdict:
    """Of two perturbations or more. PDS of what is collapsed is at chance."""
    return "problem" if found.effect <= NO_EFFECT else SPECIFIC.judge(found.specific)


@dataclass(frozen=True)
class Targets:
    """rows : of their perturbations among the labels; columns : of the targets among the genes."""

    rows: np.ndarray
    columns: np.ndarray

    def measure_left(self, means: np.ndarray, control: np.ndarray) -> np.ndarray:
        """(n targets,) share of the controls' expression, expm1 of the pseudobulks, that is left."""
        with np.errstate(over="ignore", invalid="ignore"):  # values that no logarithm has; another check says so
            return np.expm1(means[self.rows, self.columns]) / np.expm1(control[self.columns])


def find_targets(labels: Sequence[str], genes: Sequence[str], control: np.ndarray) -> Targets:
    """The targets of `labels` among `genes` that the controls express; control : (n_genes,) pseudobulk."""
    position = positions_of(genes)
    pairs = [(i, position[gene]) for i, label in enumerate(labels) for gene in genes_of(label) if gene in position]
    pairs = [(row, column) for row, column in pairs if control[column] > MIN_CONTROL_MEAN]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return Targets(rows, columns)


def judge_targets(left: np.ndarray) -> Verdict:
    """left : of the targets, one or more, that should be reduced."""
    return MISSED_TARGETS.judge(float((~(left < SILENCED)).mean()))


def sign_cells(cells: csr_matrix) -> np.ndarray:
    """(n,) float64: equal cells have equal figures; others differ, but for an accident."""
    return cells @ weigh_genes(cells.shape[1])


def weigh_genes(n_genes: int) -> np.ndarray:
    """(n_genes,) what signatures of cells weigh their values by."""
    return np.random.default_rng(0).random(n_genes)


def count_profiles(signatures: np.ndarray) -> int:
    """How many different cells there are."""
    return len(np.unique(signatures))


def judge_profiles(n_profiles: np.ndarray, n_cells: np.ndarray) -> Verdict:
    """Of each label its number of different cells, and of cells: a problem where one has a single profile repeated."""
    several = n_cells > 1
    if (several & (n_profiles == 1)).any():
        return "problem"
    return "warning" if (several & (n_profiles < DISTINCT * n_cells)).any() else "ok"
