"""A scorer of cells: the squared error of mean expression. One that is a command of its own subclasses `Tool`."""

from pathlib import Path

import pandas as pd

from vccapp.evaluation.scorers.base import PERT_COL, SCORERS, CellScorer, ScorerResult, Season, Space
from vccapp.progress import Progress, silent


@SCORERS.register("squared")
class Squared(CellScorer):
    name = "squared"
    label = "Squared error (example)"

    def space(self, season: Season) -> Space:
        return "log1p"

    def memory_bytes(self, n_cells: int, n_genes: int) -> int:
        return round(0.5e9 + 8 * n_cells * n_genes)

    def score(
        self,
        predicted: Path,
        real: Path,
        folder: Path,
        *,
        season: Season,
        threads: int,
        memory_bytes: int,
        progress: Progress = silent,
    ) -> ScorerResult:
        means = [_read_means(file) for file in (predicted, real)]
        error = (means[0] - means[1]).pow(2).mean(axis=1)
        table = error.rename("squared_error").rename_axis("perturbation").reset_index()
        mean = {"squared_error": float(error.mean())}
        return ScorerResult(version="1.0", settings={}, table=table, means=mean, baseline={}, scaled={})


def _read_means(file: Path) -> pd.DataFrame:
    """(perturbations, genes) without the controls."""
    import anndata

    from vccapp.data.schema import CONTROL

    cells = anndata.read_h5ad(file)
    groups = cells.obs[PERT_COL].to_numpy(str)
    wanted = sorted(set(groups) - {CONTROL})
    rows = [cells.X[groups == label].mean(axis=0).A1 for label in wanted]
    return pd.DataFrame(rows, wanted, cells.var_names)
