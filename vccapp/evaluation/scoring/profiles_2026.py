"""Files of counts as the 2026 scorer sees them: real and predicted perturbations, both against the real controls."""

import numpy as np

from vccapp.evaluation.profiles import PooledTable, Profiles
from vccapp.evaluation.scoring.columns import Cells, Columns, Pool, map_blocks, pool_cells
from vccapp.evaluation.scoring.rank_tests import RankTests
from vccapp.progress import Progress, silent

MILLION = 1e6
POOLED_SUM = 5e4
"""Counts of a perturbation's pooled cells are scaled to this sum."""
LEAST_CPM = 5.0
"""Genes are tested whose mean over real controls, in counts per million, is above."""
EPSILON = 1e-9
"""Added to means in counts per million before their ratio is taken."""


def profiles_2026(
    real: Cells, predicted: Cells, *, memory_bytes: int, progress: Progress = silent
) -> tuple[Profiles, Profiles]:
    """Profiles of the same perturbations, real and predicted, with `pooled`; means are of log1p counts per million."""
    pool = pool_cells(real, predicted)
    counts, n_genes = _Counts(pool), len(pool.gene_counts)
    for first, last in pool.cut(memory_bytes=memory_bytes):
        for genes, spread in map_blocks(pool.read(first, last), counts.add, first=first):
            counts.spread += spread
            progress(genes.stop / n_genes, f"differential expression, gene {genes.stop:,} of {n_genes:,}")
    p_value, fdr = counts.tests.adjust(counts.means[0] > LEAST_CPM)
    profile, noise, n = counts.profile, counts.noise, len(real.labels)
    lfc = np.log2((counts.means[1:] + EPSILON) / (counts.means[0] + EPSILON))

    def cut(rows: slice) -> Profiles:
        table = PooledTable(
            profile=profile[1:][rows],
            control=profile[0],
            noise=noise[1:][rows],
            control_noise=float(noise[0]),
            p_value=p_value[rows],
            fdr=fdr[rows],
            lfc=lfc[rows],
        )
        return Profiles(
            genes=real.dataset.genes,
            labels=real.labels,
            means=counts.log_means[1:][rows],
            control_mean=counts.log_means[0],
            pooled=table,
        )

    return cut(slice(n)), cut(slice(n, None))


class _Counts:
    """What is known of the groups, filled in block of genes after block. Arrays are (n_groups, n_genes)."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        shape = (len(pool.sizes), len(pool.gene_counts))
        self.tests = RankTests(shape, pool.sizes)
        self.log_means, self.means, self.sums = np.empty(shape), np.empty(shape), np.empty(shape)
        self.spread = np.zeros(len(pool.sizes))
        order = np.argsort(pool.groups, kind="stable")[np.count_nonzero(pool.groups < 0) :]
        self.place = np.zeros(len(pool.groups), np.int64)
        self.place[order] = np.arange(len(order))
        self.starts = np.concatenate([[0], np.cumsum(pool.sizes)])
        self.totals = pool.totals[order]

    def add(self, genes: slice, columns: Columns) -> np.ndarray:
        """Test some genes and pool their counts; returns (n_groups,) how pooled counts vary, see `pool_counts`."""
        from vccapp.evaluation.scoring import kernels

        sizes, ends = self.pool.sizes, columns.ends
        values, groups = kernels.scale(columns.values, columns.cells, self.pool.groups, self.pool.totals / MILLION)
        self.means[:, genes] = kernels.add_shares(values, groups, ends, sizes).T
        self.log_means[:, genes] = self.tests.add(genes, np.log1p(values), groups, ends) / sizes[:, None]
        sums, spread = kernels.pool_counts(
            columns.values, self.place[columns.cells], ends, self.starts, self.totals, POOLED_SUM
        )
        self.sums[:, genes] = sums.T
        return spread

    @property
    def noise(self) -> np.ndarray:
        """(n_groups,) delete-one jackknife variance of the profile, summed over genes; 0 for a single cell."""
        sizes = self.pool.sizes
        return np.maximum(self.spread * (sizes - 1) / sizes, 0)

    @property
    def profile(self) -> np.ndarray:
        """log1p of pooled counts at POOLED_SUM; zeros where there are no counts."""
        totals = self.sums.sum(axis=1)
        scale = np.divide(POOLED_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
        return np.log1p(self.sums * scale[:, None])
