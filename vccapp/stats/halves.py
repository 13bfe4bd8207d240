"""How well an effect is measured: two random halves of the cells against each other.

The cells of each perturbation, and the controls, were drawn into two halves when the index was built. What one half
of a perturbation says of the other, both against all controls, gives the reliability of the whole, and the limits of
what a prediction can get (`vccapp.evaluation.limits`).
"""

from collections.abc import Sequence

import numpy as np

from vccapp.stats.pseudobulks import Pseudobulks
from vccapp.wording import name_some


def half_deltas(
    index: Pseudobulks, labels: Sequence[str], genes: np.ndarray | slice = slice(None)
) -> tuple[np.ndarray, np.ndarray]:
    """Deltas of two halves of the cells, both against all controls: (labels, genes) float32, log1p units.

    Predictions and real cells stand against the same controls, so their noise is no difference between the two.
    genes : positions, all without them. NaN where the label, or the control, has one cell, which has no halves.
    """
    first, second = read_halves(index, labels, genes) - index.control_means(labels)[:, genes]
    alone = ~have_halves(index, labels)
    first[alone] = second[alone] = np.nan
    return first, second


def read_halves(index: Pseudobulks, labels: Sequence[str], genes: np.ndarray | slice = slice(None)) -> np.ndarray:
    """(2, labels, genes) float32 pseudobulks of both halves; NaN for a label of one cell, which has no halves."""
    rows = index.rows(list(labels))
    halves = np.array(index.array("half_mean")[:, rows][:, :, genes], np.float32)
    halves[:, index.perturbations["n_cells"].to_numpy()[rows] < 2] = np.nan
    return halves


def have_halves(index: Pseudobulks, labels: Sequence[str]) -> np.ndarray:
    """(labels,) bool: both halves of the perturbation, and of the controls, have a cell."""
    n_cells = index.perturbations["n_cells"].to_numpy()
    return (n_cells[index.rows(labels)] > 1) & (n_cells[index.control_rows(labels)] > 1)


def explain_halves(index: Pseudobulks, labels: Sequence[str]) -> str:
    """Why some of `labels` have no limits and no reliability; "" where all have."""
    single = [label for label, whole in zip(labels, have_halves(index, labels), strict=True) if not whole]
    if not single:
        return ""
    n_cells = index.perturbations["n_cells"].to_numpy()
    if (n_cells[index.control_rows(labels)] < 2).all():
        return "There is one control cell, so no perturbation has limits or a reliability."
    return f"{name_some(single)} have one cell, which has no halves: they count in no limit and no reliability."


def correlate_halves(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) Pearson correlation of the rows of two (n, k) arrays, in their precision; NaN where a row is constant."""
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        return np.einsum("ij,ij->i", first, second).astype(float) / lengths


def correct_spearman_brown(r: np.ndarray) -> np.ndarray:
    """2r / (1 + r): the reliability of all cells from the correlation of their halves; 0 where r is negative."""
    positive = np.clip(r, 0, 1)
    return 2 * positive / (1 + positive)
