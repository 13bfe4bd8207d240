"""Highly variable genes from streamed moments: the `seurat` flavour, as scanpy has it.

Source: Satija et al., Nat Biotechnol 33, 495 (2015): dispersion (variance over mean) of depth-normalised values,
standardised within 20 bins of mean expression. The same genes as `scanpy.pp.highly_variable_genes(flavor="seurat")`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

N_BINS = 20


def compute_hvg(mean: np.ndarray, variance: np.ndarray, n_cells: int, *, n_top: int = 2000) -> pd.DataFrame:
    """highly_variable, means, dispersions, dispersions_norm, one row a gene.

    mean, variance : (n_genes,) of depth-normalised values before log1p, variance with divisor n_cells
    means is log1p of the mean, dispersions the logarithm of variance over mean (NaN for a gene without variance).
    """
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = variance * (n_cells / max(n_cells - 1, 1)) / mean
    with np.errstate(divide="ignore"):
        dispersion = np.where(dispersion == 0, np.nan, np.log(dispersion))
    table = pd.DataFrame({"means": np.log1p(mean), "dispersions": dispersion})
    bins = pd.cut(table["means"], N_BINS)
    centre = table.groupby(bins, observed=True)["dispersions"].transform("mean")
    spread = table.groupby(bins, observed=True)["dispersions"].transform("std")
    alone = spread.isna()  # one gene in its bin: its normalised dispersion is 1
    table["dispersions_norm"] = (dispersion - centre.where(~alone, 0.0)) / spread.where(~alone, centre)
    table.insert(0, "highly_variable", choose_hvg(table["dispersions_norm"], n_top=n_top))
    return table


def choose_hvg(dispersions_norm: pd.Series, *, n_top: int) -> pd.Series:
    """Which genes are among the `n_top` with the highest normalised dispersion; ties with the last are in."""
    ranked = np.sort(dispersions_norm.dropna())[::-1]
    cutoff = ranked[min(n_top, len(ranked)) - 1] if len(ranked) else np.inf
    return dispersions_norm.fillna(-np.inf) >= cutoff


def pool_hvg(tables: Sequence[pd.DataFrame], *, n_top: int = 2000) -> pd.DataFrame:
    """highly_variable, means, dispersions, dispersions_norm over several tables of `compute_hvg`, one a context.

    The genes that are highly variable in most of them come first, then those with the highest mean normalised
    dispersion: as scanpy with a `batch_key`. Numbers are means over the contexts in which a gene varies.
    """
    columns = ["means", "dispersions", "dispersions_norm"]
    mean = pd.concat([table[columns] for table in tables]).groupby(level=0).mean()
    times = np.sum([table["highly_variable"] for table in tables], axis=0)
    ranked = mean.assign(times=times).sort_values(["times", "dispersions_norm"], ascending=False, kind="stable")
    varies = ranked.index[ranked["dispersions_norm"].notna()]
    mean.insert(0, "highly_variable", mean.index.isin(varies[:n_top]))
    return mean
