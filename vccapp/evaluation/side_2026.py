"""Files of counts as the 2026 scorer sees them: real and predicted perturbations, both against the real controls."""

import numpy as np

from vccapp.evaluation.columns import Cells, Columns, cut_genes
from vccapp.evaluation.rank_tests import RankTests, scale_values
from vccapp.evaluation.side import PooledTable, Side
from vccapp.progress import Progress, silent

MILLION = 1e6
POOLED_SUM = 5e4
"""Counts of a perturbation's pooled cells are scaled to this sum."""
LEAST_CPM = 5.0
"""Genes are tested whose mean over real controls, in counts per million, is above."""
EPSILON = 1e-9
"""Added to means in counts per million before their ratio is taken."""


def sides_2026(real: Cells, predicted: Cells, *, memory_bytes: int, progress: Progress = silent) -> tuple[Side, Side]:
    """Real and predicted side, with `pooled`. Their means are of log1p counts per million."""
    sides = [_Counts(cells, controls=real) for cells in (real, predicted)]
    n_genes = len(real.gene_counts)
    for first, last in cut_genes([real, predicted], memory_bytes=memory_bytes):
        controls = real.read(first, last)
        for side, columns in zip(sides, (controls, predicted.read(first, last)), strict=True):
            for block in columns.blocks():
                side.add(slice(first + block.start, first + block.stop), columns[block], controls[block])
        progress(last / n_genes, f"differential expression, gene {last:,} of {n_genes:,}")
    kept = sides[0].means[0] > LEAST_CPM
    return tuple(side.finish(kept, like=sides[0]) for side in sides)


class _Counts:
    """One side, filled in block of genes after block. Arrays are (n_groups, n_genes), group 0 the controls."""

    def __init__(self, cells: Cells, *, controls: Cells) -> None:
        self.cells, self.controls = cells, controls
        shape = (len(cells.sizes), len(cells.gene_counts))
        self.sizes = np.concatenate([controls.sizes[:1], cells.sizes[1:]])
        self.tests = RankTests(shape, self.sizes)
        self.log_means, self.means, self.sums = np.empty(shape), np.empty(shape), np.empty(shape)
        self.spread = np.zeros(len(cells.sizes))
        self.order = np.argsort(cells.groups, kind="stable")
        self.starts = np.concatenate([[0], np.cumsum(cells.sizes)])

    def add(self, genes: slice, own: Columns, control: Columns) -> None:
        """Test some genes and pool their counts; own : of this side, control : of the real one."""
        from vccapp.evaluation import kernels

        linear = [
            scale_values(columns, cells.groups, cells.totals / MILLION)
            for columns, cells in ((control, self.controls), (own, self.cells))
        ]
        sums = self.tests.add(genes, *((np.log1p(values), *where) for values, *where in linear))
        self.log_means[:, genes] = sums / self.sizes[:, None]
        means = np.zeros((len(own.ends) - 1, len(self.sizes)))
        is_control = np.arange(len(self.sizes)) == 0
        kernels.add_shares(*linear[0], self.sizes, is_control, means)
        kernels.add_shares(*linear[1], self.sizes, ~is_control, means)
        self.means[:, genes] = means.T
        pooled, spread = kernels.pool_counts(
            own.values, own.cells, own.ends, self.order, self.starts, self.cells.totals, POOLED_SUM
        )
        self.sums[:, genes] = pooled.T
        self.spread += spread.sum(axis=0)

    @property
    def noise(self) -> np.ndarray:
        """(n_groups,) delete-one jackknife variance of the profile, summed over genes; 0 for a single cell."""
        sizes = self.cells.sizes
        return np.maximum(self.spread * (sizes - 1) / sizes, 0)

    @property
    def profile(self) -> np.ndarray:
        """log1p of pooled counts at POOLED_SUM; zeros where there are no counts."""
        totals = self.sums.sum(axis=1)
        scale = np.divide(POOLED_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
        return np.log1p(self.sums * scale[:, None])

    def finish(self, kept: np.ndarray, *, like: "_Counts") -> Side:
        """kept : (n_genes,) bool, genes that are tested; like : the real side."""
        p_value, fdr = self.tests.adjust(kept)
        table = PooledTable(
            profile=self.profile[1:],
            control=like.profile[0],
            noise=self.noise[1:],
            control_noise=float(like.noise[0]),
            p_value=p_value,
            fdr=fdr,
            lfc=np.log2((self.means[1:] + EPSILON) / (self.means[0] + EPSILON)),
        )
        return Side(
            genes=self.cells.dataset.genes,
            labels=self.cells.labels,
            means=self.log_means[1:],
            control_mean=self.log_means[0],
            pooled=table,
        )
