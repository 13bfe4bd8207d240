"""Control-anchored cells: real control cells, scaled gene by gene until their mean is the wanted one.

    anchored = anchor_cells(controls, wanted)       # controls: csr log1p; wanted: mean log1p of each gene
    anchored.cells, anchored.silent.sum()

The pseudobulk is matched in the space in which it is predicted and scored: for each gene the factor r solves

    mean over the cells of log1p(r * expm1(x)) = wanted

Zeros stay zeros, so covariance and sparsity are those of real cells; but a gene without a single non-zero control
value cannot be switched on (`silent`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from vccapp.errors import DataError

FACTOR_RANGE = (1e-3, 1e3)
MAX_VALUE = 14.99
"""Above every real log1p value; challenges refuse 15 and more."""
TOLERANCE = 1e-5
"""Of a mean, relative."""
MISSED = 1e-3
"""A mean that is further off than this, relative, is reported."""
MAX_STEPS = 30
BLOCK_VALUES = 2**18
"""Values worked on at a time: 1 MB an array, which stays in the cache."""


@dataclass(frozen=True)
class Anchored:
    """Cells, and how they came about."""

    cells: csr_matrix  # (n, n_genes) float32 log1p, no stored zeros
    factors: np.ndarray  # (n_genes,) float64: r; 0 where the gene is wanted absent, 1 where nothing had to change
    silent: np.ndarray  # (n_genes,) bool: wanted above zero, but zero in every control cell given
    missed: np.ndarray  # (n_genes,) bool: expressed, but FACTOR_RANGE or MAX_VALUE keep the mean from being reached


def anchor_cells(controls: csr_matrix, wanted: np.ndarray) -> Anchored:
    """Scale `controls` (n, n_genes; log1p, n > 0) to the means `wanted` (n_genes; log1p units, below 0 counts as 0).

    Raises DataError when the shapes differ or `wanted` is not finite.
    """
    n_cells, n_genes = controls.shape
    wanted = np.asarray(wanted, dtype=np.float64)
    if n_cells == 0 or wanted.shape != (n_genes,) or not np.isfinite(wanted).all():
        raise DataError(
            "cells_not_scalable",
            f"Cells cannot be scaled: there are {n_cells:,} control cells of {n_genes:,} genes, and wanted "
            f"means of shape {wanted.shape}, {np.count_nonzero(~np.isfinite(wanted)):,} of them not finite",
            fix="give control cells and one finite mean per gene",
        )
    totals = np.maximum(wanted, 0) * n_cells
    sums = _sum_by_gene(controls.indices, controls.data, n_genes)
    factors = np.where(totals > 0, 1.0, 0.0)
    solve = (sums > 0) & (np.abs(sums - totals) > TOLERANCE * totals) & (totals > 0)
    if solve.any():
        factors[solve] = _solve_factors(controls, totals, sums, solve=solve)[solve]
    cells = _scale(controls, factors)
    off = np.abs(_sum_by_gene(cells.indices, cells.data, n_genes) - totals) > MISSED * totals
    return Anchored(cells, factors, silent=(sums == 0) & (totals > 0), missed=(sums > 0) & off)


def _solve_factors(controls: csr_matrix, totals: np.ndarray, sums: np.ndarray, *, solve: np.ndarray) -> np.ndarray:
    """Factors (n_genes,) at which the summed log1p values of the genes in `solve` are `totals`.

    In u = ln(r) the sum is increasing and convex (each term is a softplus), so Newton's method steps at most once over
    the root and then comes down to it from the right: it needs bounds, but no bracket.
    """
    lowest, highest = np.log(FACTOR_RANGE)
    wanted_values = solve[controls.indices]
    genes, counts = controls.indices[wanted_values], np.expm1(controls.data[wanted_values])
    n_values = np.maximum(np.bincount(genes, minlength=len(solve)), 1)
    # The root if all non-zero values of a gene were equal; 50 lies beyond `highest` and keeps expm1 finite.
    start = np.expm1(np.minimum(totals / n_values, 50)) / np.expm1(np.where(solve, sums, 1) / n_values)
    u = np.log(np.clip(np.where(solve, start, 1), *FACTOR_RANGE))
    for _ in range(MAX_STEPS):
        value, slope = _evaluate(genes, counts, np.exp(u).astype(np.float32))
        step = np.clip(u + (totals - value) / np.where(slope > 0, slope, np.inf), lowest, highest)
        solve = solve & (np.abs(value - totals) > TOLERANCE * totals) & (step != u)
        if not solve.any():
            break
        u = np.where(solve, step, u)
        if np.count_nonzero(left := solve[genes]) < 0.7 * len(genes):
            genes, counts = genes[left], counts[left]
    return np.exp(u)


def _evaluate(genes: np.ndarray, counts: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per gene, float64: sum of log1p(r * count), and its derivative in ln(r)."""
    value, slope = np.zeros(len(factors)), np.zeros(len(factors))
    for start in range(0, len(genes), BLOCK_VALUES):
        gene = genes[start : start + BLOCK_VALUES]
        scaled = counts[start : start + BLOCK_VALUES] * factors[gene]
        value += np.bincount(gene, weights=np.log1p(scaled), minlength=len(factors))
        slope += np.bincount(gene, weights=scaled / (1 + scaled), minlength=len(factors))
    return value, slope


def _sum_by_gene(genes: np.ndarray, values: np.ndarray, n_genes: int) -> np.ndarray:
    """(n_genes,) float64 sums of the stored values."""
    sums = np.zeros(n_genes)
    for start in range(0, len(genes), BLOCK_VALUES):
        block = slice(start, start + BLOCK_VALUES)
        sums += np.bincount(genes[block], weights=values[block], minlength=n_genes)
    return sums


def _scale(controls: csr_matrix, factors: np.ndarray) -> csr_matrix:
    """log1p(r * expm1(x)), at most MAX_VALUE; values of genes with r = 1 pass unchanged, r = 0 removes them."""
    values = np.empty(len(controls.data), np.float32)
    for start in range(0, len(values), BLOCK_VALUES):
        block = slice(start, start + BLOCK_VALUES)
        factor = factors[controls.indices[block]].astype(np.float32)
        scaled = np.minimum(np.log1p(factor * np.expm1(controls.data[block])), MAX_VALUE)
        values[block] = np.where(factor == 1, controls.data[block], scaled)
    cells = csr_matrix((values, controls.indices.copy(), controls.indptr.copy()), shape=controls.shape)
    cells.eliminate_zeros()
    return cells
