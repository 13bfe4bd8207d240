"""A file of cells as the 2025 scorer sees it: log1p values, each file against its own controls."""

import numpy as np

from vccapp.errors import DataError
from vccapp.evaluation.profiles import DeTable, Profiles
from vccapp.evaluation.scoring.columns import Cells, Columns, map_blocks, pool_cells
from vccapp.evaluation.scoring.rank_tests import RankTests
from vccapp.progress import Progress, silent


def profiles_2025(cells: Cells, *, memory_bytes: int, progress: Progress = silent) -> Profiles:
    """Pseudobulks and DE in float64. Counts are first scaled to the median total of the file's cells, and log1p.

    Raises DataError when that median is zero.
    """
    from vccapp.evaluation.scoring import kernels

    pool = pool_cells(cells)
    n_groups, n_genes = len(pool.sizes), len(pool.gene_counts)
    tests = RankTests((n_groups, n_genes), pool.sizes)
    means, lfc = np.empty((n_groups, n_genes)), np.empty((n_groups, n_genes), np.float32)
    divisor = cells.totals / _median_total(cells) if cells.is_counts else np.ones(len(cells.totals))

    def test(genes: slice, columns: Columns) -> None:
        values, groups = kernels.scale(columns.values, columns.cells, pool.groups, divisor)
        if cells.is_counts:
            np.log1p(values, out=values)
        means[:, genes] = tests.add(genes, values, groups, columns.ends) / pool.sizes[:, None]
        lfc[:, genes] = kernels.fold_changes(kernels.add_shares(values, groups, columns.ends, pool.sizes)).T

    for first, last in pool.cut(memory_bytes=memory_bytes):
        for genes, _ in map_blocks(pool.read(first, last), test, first=first):
            progress(genes.stop / n_genes, f"differential expression, gene {genes.stop:,} of {n_genes:,}")
    p_value, fdr = tests.adjust(np.ones(n_genes, bool))
    return Profiles(
        genes=cells.dataset.genes,
        labels=cells.labels,
        means=means[1:],
        control_mean=means[0],
        de=DeTable(p_value, fdr.astype(np.float32), lfc[1:]),
    )


def _median_total(cells: Cells) -> float:
    """Over all cells, also those without counts, as the official scorer takes it of a CSR matrix."""
    median = float(np.median(cells.totals))
    if median == 0:
        raise DataError(
            "no_counts",
            f"Most cells of {cells.dataset.path.name} have no counts, so they have no common scale",
            fix="remove empty cells",
        )
    return median
