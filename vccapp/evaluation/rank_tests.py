"""Rank tests of every perturbation against controls, block of genes after block of genes."""

import numpy as np

from vccapp.evaluation.columns import Columns

Values = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Float64 values of some genes, the group of each, and (n + 1,) where each gene's values end."""


class RankTests:
    """Two-sided Mann-Whitney p-values, as `vccapp.stats.de` has them, on float64 values.

    shape : (n_groups, n_genes), group 0 the control; sizes : (n_groups,) cells
    """

    def __init__(self, shape: tuple[int, int], sizes: np.ndarray) -> None:
        self.sizes = sizes
        self._p_value = np.empty(shape)

    def add(self, genes: slice, control: Values, own: Values) -> np.ndarray:
        """Test some genes: others, out of `own`, against controls, out of `control`. Returns sums (n_groups, genes)."""
        from vccapp.evaluation import kernels
        from vccapp.stats.kernels import p_values

        u, ties, sums = kernels.compare_genes(*control, *own, self.sizes)
        self._p_value[:, genes] = p_values(u, ties, self.sizes).T
        return sums.T

    def adjust(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p-values, and FDR over the genes `kept` (n_genes,) bool, without the control's row; NaN and 1 elsewhere."""
        from vccapp.stats.de import benjamini_hochberg

        p_value = self._p_value[1:]
        fdr = np.ones_like(p_value)
        if kept.any():
            for row in range(len(fdr)):
                fdr[row, kept] = benjamini_hochberg(p_value[row, kept])
        return np.where(kept, p_value, np.nan), fdr


def scale_values(columns: Columns, groups: np.ndarray, divisor: np.ndarray | None) -> Values:
    """Float64 values, divided by that of their cell (None: as stored). groups, divisor : (n_cells,)."""
    values = columns.values.astype(np.float64)
    if divisor is not None:
        values /= divisor[columns.cells]
    return values, groups[columns.cells], columns.ends
