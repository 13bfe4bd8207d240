"""The tables that people pass around, as CSVs with the names and columns that they use, from a finished index.

`EXPORTS` maps a file's name to the function that makes its frame; `vccapp data export DATASET FOLDER` writes them all.
Means, extremes and fractions are of the stored values, one row a gene; `docs/data.md` defines every column.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from vccapp.data.reading.ignored import mark_ignored
from vccapp.data.significance import FDR
from vccapp.data.spreadsheet import write_csv
from vccapp.stats.index import Index
from vccapp.stats.views import compute_similarity, measure_guides

STATISTICS = ["gene", "mean", "max", "min", "nonzero_fraction"]
DELTA = ["gene", "ctrl_mean", "pert_mean", "delta", "abs_delta"]
HVG = ["gene", "highly_variable", "means", "dispersions", "dispersions_norm"]
TOP = 50


def gene_statistics(index: Index) -> pd.DataFrame:
    """Mean, max, min and share of cells above zero over all cells; genes in the file's order."""
    return index.genes[STATISTICS]


def gene_delta(index: Index) -> pd.DataFrame:
    """Mean of all perturbed cells minus that of the controls, the largest difference first; ties in file order."""
    return _by_delta(index)[DELTA]


def gene_delta_top(index: Index) -> pd.DataFrame:
    """The `TOP` first rows of `gene_delta`."""
    return gene_delta(index).head(TOP)


def gene_delta_with_nonzero_fraction(index: Index) -> pd.DataFrame:
    """`gene_delta` with the share of control cells that have the gene of the row."""
    return _by_delta(index)[[*DELTA, "ctrl_nonzero_fraction"]]


def deg_counts(index: Index, *, fdr: float = FDR, min_abs_lfc: float = 0.0) -> pd.DataFrame:
    """Group, DEG_Count, Up_Regulated, Down_Regulated: genes below `fdr` and of at least `min_abs_lfc`; most first."""
    counts = index.deg_counts(fdr=fdr, min_abs_lfc=min_abs_lfc)
    counts.columns = ["Group", "DEG_Count", "Up_Regulated", "Down_Regulated"]
    return counts.sort_values("DEG_Count", ascending=False, kind="stable", ignore_index=True)


def hvg(index: Index) -> pd.DataFrame:
    """What scanpy's `highly_variable_genes` adds to var (`seurat` flavour, 2,000 genes); genes in the file's order."""
    return index.genes[HVG]


def guide_knockdown(index: Index) -> pd.DataFrame:
    """perturbation, guide, n_cells, knockdown: the share of the controls' expression of the target that is left."""
    return measure_guides(index, index.cells)


def similarity(index: Index) -> pd.DataFrame:
    """first, second, r: the correlation of the deltas of each pair of perturbations over the highly variable genes."""
    return compute_similarity(index).pairs()


def reliability(index: Index) -> pd.DataFrame:
    """perturbation, n_cells, effect, half_correlation, reliability, perfect, reason over the highly variable genes."""
    return compute_similarity(index).reliability


EXPORTS: dict[str, Callable[[Index], pd.DataFrame]] = {
    "gene_statistics.csv": gene_statistics,
    "gene_delta_all_sorted.csv": gene_delta,
    "gene_delta_top50.csv": gene_delta_top,
    "gene_delta_with_nonzero_fraction.csv": gene_delta_with_nonzero_fraction,
    "deg_counts.csv": deg_counts,
    "hvg.csv": hvg,
    "guide_knockdown.csv": guide_knockdown,
    "perturbation_similarity.csv": similarity,
    "split_half_reliability.csv": reliability,
}


def write_exports(index: Index, folder: Path, *, fdr: float = FDR, min_abs_lfc: float = 0.0) -> list[Path]:
    """Write every export into `folder`, each atomically and over one of its name; the thresholds are those of DEGs."""
    paths = []
    for name, make in EXPORTS.items():
        frame = deg_counts(index, fdr=fdr, min_abs_lfc=min_abs_lfc) if make is deg_counts else make(index)
        write_csv(mark_ignored(frame, index.meta["context_ignored"]), folder / name)
        paths.append(folder / name)
    return paths


def _by_delta(index: Index) -> pd.DataFrame:
    return index.genes.sort_values("abs_delta", ascending=False, kind="stable", ignore_index=True)
