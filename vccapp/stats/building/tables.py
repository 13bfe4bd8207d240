"""The tables and arrays of the index, made from the finished sums: what `vccapp.stats.index` reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.atomic import save_array
from vccapp.data.schema import genes_of, is_control, positions_of
from vccapp.data.significance import FDR
from vccapp.stats.building.accumulator import LARGEST, LINEAR_SUM, LOG_SUM, SMALLEST, SUM, Accumulator
from vccapp.stats.hvg import compute_hvg, pool_hvg
from vccapp.stats.index import compute_deg_counts


def write_tables(folder: Path, genes: np.ndarray, accumulator: Accumulator, cells: pd.DataFrame) -> None:
    """Write everything but the store, the DE columns (already in `folder`) and index.json.

    Where there are several contexts, genes.parquet is over all of them, each perturbed cell against the controls of its
    own, and genes.0.parquet ... are the tables within each.

    genes : (n_genes,) names; cells : n_cells rows: perturbation, guide, batch, umis, genes
    """
    grouping = accumulator.grouping
    sizes = np.bincount(grouping.perturbation, minlength=len(grouping.perturbations))
    moments = accumulator.perturbation_moments()
    first = (sizes + 1) // 2
    with np.errstate(invalid="ignore"):  # of no cells, as in the second half of a single one: 0 / 0, missing
        means = moments[:, :, LOG_SUM] / sizes[:, None]
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
    control = grouping.control
    labels = grouping.perturbations
    tables = [_gene_table(genes, accumulator, moments, sizes, number) for number in range(grouping.n_contexts)]
    for number, table in enumerate(tables if len(tables) > 1 else ()):
        table.drop(columns=list(COUNTED)).to_parquet(folder / f"genes.{number}.parquet")
    pool_gene_tables(tables).to_parquet(folder / "genes.parquet")
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
            "knockdown": [_residual(label, linear[i], linear[control[i]], position) for i, label in enumerate(labels)],
            "effect": np.linalg.norm(means - means[control], axis=1),
        }
    ).to_parquet(folder / "perturbations.parquet")


def _variance(moments: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Population variance from the last axis (sum, sum of squares)."""
    return np.maximum(moments[..., 1] / n - (moments[..., 0] / n) ** 2, 0)


def _write_groups(folder: Path, kind: str, labels: list[str], member: pd.Series, log_sums: np.ndarray) -> None:
    sizes = member.astype(str).value_counts()[labels].to_numpy()
    save_array(folder / f"{kind}_mean.npy", (log_sums / sizes[:, None]).astype(np.float32))
    pd.DataFrame({kind: labels, "n_cells": sizes}).to_parquet(folder / f"{kind}.parquet")


COUNTED = ("n_cells", "n_control")
"""Columns of `_gene_table` that tell how much a context weighs."""


def _gene_table(
    genes: np.ndarray, accumulator: Accumulator, moments: np.ndarray, sizes: np.ndarray, context: int
) -> pd.DataFrame:
    """The genes within one context, and how many cells it has, COUNTED."""
    own = np.flatnonzero(accumulator.grouping.control == context)
    extremes, present = accumulator.genes[context], accumulator.nonzero[context]
    n_cells, n_control = sizes[own].sum(), sizes[context]
    total = moments[own].sum(axis=0)
    nonzero = present.sum(axis=1)
    ctrl_mean = moments[context, :, SUM] / n_control
    with np.errstate(invalid="ignore"):
        pert_mean = (total[:, SUM] - moments[context, :, SUM]) / (n_cells - n_control)  # NaN where all are controls
    linear_mean, linear_var = extremes[:, LINEAR_SUM] / n_cells, _variance(extremes[:, LINEAR_SUM:], n_cells)
    table = pd.DataFrame(
        {
            "gene": genes,
            "mean": total[:, SUM] / n_cells,
            "max": extremes[:, LARGEST],
            "min": np.where(nonzero < n_cells, 0.0, extremes[:, SMALLEST]),
            "nonzero_fraction": nonzero / n_cells,
            "ctrl_mean": ctrl_mean,
            "pert_mean": pert_mean,
            "delta": pert_mean - ctrl_mean,
            "abs_delta": np.abs(pert_mean - ctrl_mean),
            "ctrl_nonzero_fraction": present[:, 0] / n_control,
            "log_mean": total[:, LOG_SUM] / n_cells,
            "log_var": _variance(total[:, LOG_SUM:], n_cells),
        }
    )
    return table.join(compute_hvg(linear_mean, linear_var, n_cells)).assign(n_cells=n_cells, n_control=n_control)


def pool_gene_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of genes over several contexts, from the table within each.

    Means, fractions and variances are over all cells. The controls' mean weighs each context by its perturbed cells, so
    that delta is of each perturbed cell against the controls of its own context. Highly variable are the genes that
    are so within most contexts, as `scanpy.pp.highly_variable_genes` does it with a `batch_key`.
    """
    if len(tables) == 1:
        return tables[0].drop(columns=list(COUNTED))
    n_cells = np.array([table["n_cells"].iloc[0] for table in tables], float)
    n_control = np.array([table["n_control"].iloc[0] for table in tables], float)
    by_cell, by_control, by_perturbed = (n / n.sum() for n in (n_cells, n_control, n_cells - n_control))

    def weigh(column: str, weights: np.ndarray) -> np.ndarray:
        return sum((w * table[column].to_numpy() for w, table in zip(weights, tables, strict=True) if w), np.zeros(1))

    log_mean = weigh("log_mean", by_cell)
    spread = [(table["log_var"] + (table["log_mean"] - log_mean) ** 2).to_numpy() for table in tables]
    delta = weigh("delta", by_perturbed)
    pooled = pd.DataFrame(
        {
            "gene": tables[0]["gene"],
            "mean": weigh("mean", by_cell),
            "max": np.max([table["max"] for table in tables], axis=0),
            "min": np.min([table["min"] for table in tables], axis=0),
            "nonzero_fraction": weigh("nonzero_fraction", by_cell),
            "ctrl_mean": weigh("ctrl_mean", by_perturbed),
            "pert_mean": weigh("pert_mean", by_perturbed),
            "delta": delta,
            "abs_delta": np.abs(delta),
            "ctrl_nonzero_fraction": weigh("ctrl_nonzero_fraction", by_control),
            "log_mean": log_mean,
            "log_var": by_cell @ np.array(spread),
        }
    )
    return pooled.join(pool_hvg(tables))


def _residual(label: str, linear: np.ndarray, control: np.ndarray, position: dict[str, int]) -> float:
    """Expression left on the target, as a fraction of control, in expm1(mean log1p); the mean over two targets."""
    if is_control(label):
        return np.nan
    columns = [position[gene] for gene in genes_of(label) if gene in position]
    left = [linear[c] / control[c] for c in columns if control[c] > 0]
    return float(np.mean(left)) if left else np.nan
