"""The tables and arrays of the index, made from the finished sums: what `vccapp.stats.index` reads."""

from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.atomic import save_array
from vccapp.data.schema import genes_of, positions_of
from vccapp.data.significance import FDR
from vccapp.stats.building.accumulator import LARGEST, LINEAR_SUM, LOG_SUM, SMALLEST, SUM, Accumulator
from vccapp.stats.hvg import compute_hvg
from vccapp.stats.index import compute_deg_counts


def write_tables(folder: Path, genes: np.ndarray, accumulator: Accumulator, cells: pd.DataFrame) -> None:
    """Write everything but the store, the DE columns (already in `folder`) and index.json.

    genes : (n_genes,) names; cells : n_cells rows: perturbation, guide, batch, umis, genes
    """
    grouping = accumulator.grouping
    sizes = np.bincount(grouping.perturbation, minlength=len(grouping.perturbations))
    moments = accumulator.perturbation_moments()
    means = moments[:, :, LOG_SUM] / sizes[:, None]
    first = (sizes + 1) // 2
    with np.errstate(invalid="ignore"):  # the second half of a single cell is empty: 0 / 0, missing
        halves = np.stack(
            [
                accumulator.halves[:, :, 1] / first[:, None],
                (moments[:, :, LOG_SUM] - accumulator.halves[:, :, 1]) / (sizes - first)[:, None],
            ]
        )
    save_array(folder / "mean.npy", means.astype(np.float32))
    save_array(folder / "variance.npy", _variance(moments[:, :, LOG_SUM:], sizes[:, None]).astype(np.float32))
    save_array(folder / "half_mean.npy", halves.astype(np.float32))
    save_array(folder / "count_sum.npy", moments[:, :, SUM])
    _write_groups(folder, "guide", grouping.guides, cells["guide"], accumulator.guide_log_sums())
    _write_groups(folder, "batch", grouping.batches, cells["batch"], accumulator.batch_log_sums())
    _gene_table(genes, accumulator, moments, sizes).to_parquet(folder / "genes.parquet")
    cells.to_parquet(folder / "cells.parquet")

    position = positions_of(genes)
    linear = np.expm1(means)
    medians = cells.groupby(grouping.perturbation)[["umis", "genes"]].median()
    fdr, lfc = (np.load(folder / f"de/{name}.npy", mmap_mode="r") for name in ("fdr", "lfc_2025"))
    pd.DataFrame(
        {
            "perturbation": grouping.perturbations,
            "n_cells": sizes,
            "umis_median": medians["umis"].to_numpy(),
            "genes_median": medians["genes"].to_numpy(),
            **compute_deg_counts(fdr, lfc, fdr_below=FDR, min_abs_lfc=0.0),
            "knockdown": [_residual(label, linear, i, position) for i, label in enumerate(grouping.perturbations)],
            "effect": np.linalg.norm(means - means[0], axis=1),
        }
    ).to_parquet(folder / "perturbations.parquet")


def _variance(moments: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Population variance from the last axis (sum, sum of squares)."""
    return np.maximum(moments[..., 1] / n - (moments[..., 0] / n) ** 2, 0)


def _write_groups(folder: Path, kind: str, labels: list[str], member: pd.Series, log_sums: np.ndarray) -> None:
    sizes = member.astype(str).value_counts()[labels].to_numpy()
    save_array(folder / f"{kind}_mean.npy", (log_sums / sizes[:, None]).astype(np.float32))
    pd.DataFrame({kind: labels, "n_cells": sizes}).to_parquet(folder / f"{kind}.parquet")


def _gene_table(genes: np.ndarray, accumulator: Accumulator, moments: np.ndarray, sizes: np.ndarray) -> pd.DataFrame:
    n_cells, n_control = sizes.sum(), sizes[0]
    total = moments.sum(axis=0)
    nonzero = accumulator.nonzero.sum(axis=1)
    ctrl_mean = moments[0, :, SUM] / n_control
    with np.errstate(invalid="ignore"):  # without perturbed cells: 0 / 0, missing
        pert_mean = (total[:, SUM] - moments[0, :, SUM]) / (n_cells - n_control)
    linear_mean, linear_var = (
        accumulator.genes[:, LINEAR_SUM] / n_cells,
        _variance(accumulator.genes[:, LINEAR_SUM:], n_cells),
    )
    table = pd.DataFrame(
        {
            "gene": genes,
            "mean": total[:, SUM] / n_cells,
            "max": accumulator.genes[:, LARGEST],
            "min": np.where(nonzero < n_cells, 0.0, accumulator.genes[:, SMALLEST]),
            "nonzero_fraction": nonzero / n_cells,
            "ctrl_mean": ctrl_mean,
            "pert_mean": pert_mean,
            "delta": pert_mean - ctrl_mean,
            "abs_delta": np.abs(pert_mean - ctrl_mean),
            "ctrl_nonzero_fraction": accumulator.nonzero[:, 0] / n_control,
            "log_mean": total[:, LOG_SUM] / n_cells,
            "log_var": _variance(total[:, LOG_SUM:], n_cells),
        }
    )
    return table.join(compute_hvg(linear_mean, linear_var, n_cells))


def _residual(label: str, linear: np.ndarray, row: int, position: dict[str, int]) -> float:
    """Expression left on the target, as a fraction of control, in expm1(mean log1p); the mean over two targets."""
    columns = [position[gene] for gene in genes_of(label) if gene in position]
    left = [linear[row, c] / linear[0, c] for c in columns if row and linear[0, c] > 0]
    return float(np.mean(left)) if left else np.nan
