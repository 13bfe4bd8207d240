"""Rank tests of every perturbation against controls, block of genes after block of genes."""

import numpy as np

from vccapp.stats.false_discovery import adjust_p_values


class RankTests:
    """Two-sided Mann-Whitney p-values, as `vccapp.stats.building.de` has them, on float64 values.

    shape : (n_groups, n_genes), group 0 the control; sizes : (n_groups,) cells
    """

    def __init__(self, shape: tuple[int, int], sizes: np.ndarray) -> None:
        self.sizes = sizes
        self._p_value = np.empty(shape)

    def add(self, genes: slice, values: np.ndarray, groups: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Test some genes and return sums (n_groups, genes).

        values : float64, of gene g those from ends[g] to ends[g + 1] - 1; groups : (n_values,) int32
        """
        from vccapp.evaluation.scoring import kernels
        from vccapp.stats.kernels import p_values

        u, ties, sums = kernels.compare_genes(values, groups, ends, self.sizes)
        self._p_value[:, genes] = p_values(u, ties, self.sizes).T
        return sums.T

    def adjust(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p-values, and FDR over the genes `kept` (n_genes,) bool, without the control's row; NaN and 1 elsewhere."""
        p_value = self._p_value[1:]
        fdr = np.ones_like(p_value)
        if kept.any():
            fdr[:, kept] = adjust_p_values(p_value[:, kept])
        return np.where(kept, p_value, np.nan), fdr
