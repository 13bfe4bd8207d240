"""The silenced gene itself: how much of it is left, apart from what its loss does to other genes.

The residual of a target t is expm1(pseudobulk_t) / expm1(control_t): a ratio of depth-normalised counts, taken out of
log1p because in log1p units one knock-down gives another ratio at each expression level. Models keep the median over
the targets of the training perturbations (above 1 where genes are activated) and set every target to it.

Source: the CRISPR-informed mean of Wong et al., Bioinformatics 41(6), 2025.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vccapp.data.schema import control_of
from vccapp.models.base import targets
from vccapp.stats.pseudobulks import Pseudobulks

MIN_CONTROL_MEAN = 0.05
"""log1p units; targets that the controls express less do not inform the residual."""


def target_positions(perturbation: str, position: Mapping[str, int]) -> list[int]:
    """Positions of the targets that are among the genes."""
    return [position[gene] for gene in targets(perturbation) if gene in position]


def own_targets(perturbations: Sequence[str], position: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, one of each for every target that is among the genes: an index into (n, n_genes)."""
    pairs = [(row, at) for row, label in enumerate(perturbations) for at in target_positions(label, position)]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return rows, columns


def measure_residual(
    index: Pseudobulks,
    perturbations: Sequence[str],
    *,
    position: Mapping[str, int],
    min_control_mean: float = MIN_CONTROL_MEAN,
) -> float | None:
    """Median share of control expression left on a target; None where no target is measured well enough."""
    ratios = [
        np.expm1(mean[gene]) / np.expm1(control[gene])
        for label in perturbations
        for mean, control in [(index.mean(label), index.mean(control_of(label)))]
        for gene in target_positions(label, position)
        if control[gene] > min_control_mean
    ]
    return float(np.median(ratios)) if ratios else None


def set_targets(
    deltas: np.ndarray,
    perturbations: Sequence[str],
    *,
    residual: float | None,
    control: np.ndarray,
    position: Mapping[str, int],
) -> None:
    """Set the targets in rows of deltas (n, n_genes) to their residual level, in place; None leaves them.

    control : (n, n_genes) mean log1p of the controls of each row
    """
    if residual is None:
        return
    for row, label in enumerate(perturbations):
        at = target_positions(label, position)
        deltas[row, at] = np.log1p(residual * np.expm1(control[row, at])) - control[row, at]


def mask_targets(deltas: np.ndarray, perturbations: Sequence[str], *, position: Mapping[str, int]) -> np.ndarray:
    """A copy of deltas (n, n_genes) in which a perturbation's own targets are as in the others, on average.

    The knock-down says nothing about the targets of other perturbations, and would leak into their prediction.
    """
    masked = np.array(deltas, np.float32)
    rows, columns = [], []
    for row, label in enumerate(perturbations):
        for gene in target_positions(label, position):
            rows.append(row)
            columns.append(gene)
    masked[rows, columns] = np.nan
    for gene in set(columns):
        values = masked[:, gene]
        known = ~np.isnan(values)
        values[~known] = values[known].mean() if known.any() else 0
    return masked
