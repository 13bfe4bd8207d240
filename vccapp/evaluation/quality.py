"""What makes predicted cells hardly worth scoring, measured once and judged by one limit.

Compare's diagnostics, which know the real cells, and Submit's checks, which know the file alone, both ask here.
`measure_...`, `sum_counts` and `count_profiles` give the figure, `judge_...` the verdict. A limit has its reason beside
it; "measured" means: real cells, three mean baselines, ridge, kNN and bilinear, on H1 (600 x 1,000), Papalexi's THP-1,
Norman's K562, McFaline's three lines and simulated cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.data.schema import genes_of, positions_of
from vccapp.models.parts.knockdown import MIN_CONTROL_MEAN

Verdict = Literal["ok", "warning", "problem"]


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


def sum_counts(cells: csr_matrix) -> np.ndarray:
    """(n,) float64: the total of each cell out of its log1p values. NaN counts as 0, infinity as a huge value."""
    values = cells.data
    if not np.isfinite(values.sum(dtype=np.float64)):
        values = np.nan_to_num(values)
    values = np.expm1(np.clip(values, 0, 50), dtype=np.float64)
    return np.asarray(csr_matrix((values, cells.indices, cells.indptr), shape=cells.shape).sum(axis=1)).ravel()


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
    return cells @ np.random.default_rng(0).random(cells.shape[1])


def count_profiles(signatures: np.ndarray) -> int:
    """How many different cells there are."""
    return len(np.unique(signatures))


def judge_profiles(n_profiles: np.ndarray, n_cells: np.ndarray) -> Verdict:
    """Of each label its number of different cells, and of cells: a problem where one has a single profile repeated."""
    several = n_cells > 1
    if (several & (n_profiles == 1)).any():
        return "problem"
    return "warning" if (several & (n_profiles < DISTINCT * n_cells)).any() else "ok"
