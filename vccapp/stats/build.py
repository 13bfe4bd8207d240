"""Building the index of a dataset: totals, one streaming pass, differential expression. Needs no more than it says.

Runs as the job `index` (`vccapp data index FILE`). What it writes is read by `vccapp.stats.index`.
"""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp import __version__
from vccapp.data.atomic import write_folder
from vccapp.data.dataset import Dataset
from vccapp.errors import DataError, ResourceError
from vccapp.progress import Progress, part, silent
from vccapp.stats.accumulator import LARGEST, LINEAR_SUM, LOG_SUM, SMALLEST, SUM, Accumulator, Grouping
from vccapp.stats.de import compute_de
from vccapp.stats.index import VERSION, compute_deg_counts
from vccapp.stats.normalise import compute_scaling, compute_target_sum
from vccapp.stats.read_ahead import read_ahead
from vccapp.stats.store import BLOCK_CELLS, GeneStore, StoreWriter

BLOCK_VALUES = 2**23
"""Stored values read at once."""


def build_index(
    dataset: Dataset,
    folder: Path,
    *,
    memory_bytes: int = 10**9,
    seed: int = 0,
    progress: Progress = silent,
) -> None:
    """Write the index of `dataset` to `folder`, atomically. Raises DataError and ResourceError before or during."""
    dataset.require_usable()
    started = time.time()
    grouping = Grouping.of_cells(dataset.cells, seed=seed)
    needed = estimate_memory(dataset, grouping)
    if needed > memory_bytes:
        msg = (
            f"The index of {dataset.path.name} needs about {needed / 1e9:.1f} GB of memory for {len(grouping.strata):,}"
            f" groups of cells, {memory_bytes / 1e9:.1f} GB are allowed; raise VCCAPP_MEMORY_GB."
        )
        raise ResourceError(msg)
    with write_folder(folder) as beside:
        totals, detected, target_sum = compute_totals(dataset, progress=part(progress, 0.0, 0.15))
        counts = dataset.schema.value_space == "counts"
        scaling = compute_scaling(totals, target_sum) if counts else np.zeros(dataset.n_cells, np.float32)
        accumulator = stream(dataset, grouping, scaling, store=beside / "store", progress=part(progress, 0.15, 0.55))
        (beside / "de").mkdir()
        compute_de(
            GeneStore(beside / "store"),
            scaling,
            grouping.perturbation,
            len(grouping.perturbations),
            target_sum=target_sum,
            folder=beside / "de",
            progress=part(progress, 0.55, 0.98),
        )
        cells = dataset.cells[["perturbation", "guide", "batch"]].reset_index(drop=True)
        cells = cells.assign(umis=totals.astype(np.float32) if counts else np.nan, genes=detected.astype(np.int32))
        _write_tables(beside, dataset, accumulator, cells)
        np.save(beside / "scaling.npy", scaling)
        meta = {
            "version": VERSION,
            "vccapp": __version__,
            "fingerprint": dataset.fingerprint,
            "n_cells": dataset.n_cells,
            "n_genes": dataset.n_genes,
            "value_space": dataset.schema.value_space,
            "control_label": dataset.schema.control_label,
            "target_sum": target_sum,
            "n_cells_without_umis": int((totals == 0).sum()),
            "seed": seed,
            "seconds": round(time.time() - started, 1),
        }
        (beside / "index.json").write_text(json.dumps(meta, indent=2))
        progress(1.0, "index written")


def estimate_memory(dataset: Dataset, grouping: Grouping) -> int:
    """Bytes at the peak: sums, one block of the store, row blocks in flight, and the libraries."""
    block = dataset.n_genes * (8192 if dataset.schema.value_space == "counts" else 4 * BLOCK_CELLS["float32"])
    return Accumulator.bytes_needed(grouping, dataset.n_genes) + block + 30 * BLOCK_VALUES + 250_000_000


def compute_totals(dataset: Dataset, *, progress: Progress = silent) -> tuple[np.ndarray, np.ndarray, float]:
    """Totals (UMIs; of expm1 for log1p input), detected genes per cell, and the median total. Checks every value."""
    from vccapp.stats import kernels

    totals, detected = np.zeros(dataset.n_cells), np.zeros(dataset.n_cells, np.int64)
    counts = dataset.schema.value_space == "counts"
    for start, block in read_ahead(dataset.iter_rows(max_values=BLOCK_VALUES)):
        _check_values(block.data, start, dataset, counts=counts)
        data = block.data if counts else np.expm1(block.data)
        stop = start + block.shape[0]
        totals[start:stop], detected[start:stop] = kernels.row_totals(data, block.indptr)
        progress(stop / dataset.n_cells, f"totals, cell {stop:,} of {dataset.n_cells:,}")
    return totals, detected, compute_target_sum(totals)


def _check_values(data: np.ndarray, start: int, dataset: Dataset, *, counts: bool) -> None:
    if not len(data):
        return
    if not np.isfinite(data).all():
        found = "NaN or infinite values"
    elif data.min() < 0:
        found = f"negative values (lowest {data.min():g})"
    elif counts and (data != np.rint(data)).any():
        found = "fractions among the counts"
    else:
        return
    msg = f"{dataset.path.name} has {found} in the cells from row {start:,} on; repair or drop them and index again."
    raise DataError(msg)


def stream(
    dataset: Dataset, grouping: Grouping, scaling: np.ndarray, *, store: Path | None, progress: Progress = silent
) -> Accumulator:
    """The streaming pass: sums of every group, and the gene-major store when a folder for it is given."""
    accumulator = Accumulator(grouping, dataset.n_genes)
    dtype = "uint8" if dataset.schema.value_space == "counts" else "float32"
    writer = store and StoreWriter(store, n_cells=dataset.n_cells, n_genes=dataset.n_genes, dtype=dtype)
    for start, block in read_ahead(dataset.iter_rows(max_values=BLOCK_VALUES)):
        stop = start + block.shape[0]
        accumulator.add(block, start, scaling[start:stop])
        if writer:
            writer.add(block)
        progress(stop / dataset.n_cells, f"statistics, cell {stop:,} of {dataset.n_cells:,}")
    if writer:
        writer.close()
    return accumulator


def _write_tables(folder: Path, dataset: Dataset, accumulator: Accumulator, cells: pd.DataFrame) -> None:
    grouping = accumulator.grouping
    sizes = np.bincount(grouping.perturbation, minlength=len(grouping.perturbations))
    moments = accumulator.perturbation_moments()
    means = moments[:, :, LOG_SUM] / sizes[:, None]
    first = (sizes + 1) // 2
    halves = np.stack(
        [
            accumulator.halves[:, :, 1] / first[:, None],
            (moments[:, :, LOG_SUM] - accumulator.halves[:, :, 1]) / np.maximum(sizes - first, 1)[:, None],
        ]
    )
    np.save(folder / "mean.npy", means.astype(np.float32))
    np.save(folder / "variance.npy", _variance(moments[:, :, LOG_SUM:], sizes[:, None]).astype(np.float32))
    np.save(folder / "half_mean.npy", halves.astype(np.float32))
    np.save(folder / "count_sum.npy", moments[:, :, SUM])
    _write_groups(folder, "guide", grouping.guides, cells["guide"], accumulator.guide_moments())
    _write_groups(folder, "batch", grouping.batches, cells["batch"], accumulator.batch_moments())
    _gene_table(dataset.genes, accumulator, moments, sizes).to_parquet(folder / "genes.parquet")
    cells.to_parquet(folder / "cells.parquet")

    position = {gene: i for i, gene in enumerate(dataset.genes)}
    linear = np.expm1(means)
    medians = cells.groupby(grouping.perturbation)[["umis", "genes"]].median()
    fdr, lfc = (np.load(folder / f"de/{name}.npy", mmap_mode="r") for name in ("fdr", "lfc_2025"))
    pd.DataFrame(
        {
            "perturbation": grouping.perturbations,
            "n_cells": sizes,
            "umis_median": medians["umis"].to_numpy(),
            "genes_median": medians["genes"].to_numpy(),
            **compute_deg_counts(fdr, lfc, fdr_below=0.05, min_abs_lfc=0.0),
            "knockdown": [_residual(label, linear, i, position) for i, label in enumerate(grouping.perturbations)],
            "effect": np.linalg.norm(means - means[0], axis=1),
        }
    ).to_parquet(folder / "perturbations.parquet")


def _variance(moments: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Population variance from the last axis (sum, sum of squares)."""
    return np.maximum(moments[..., 1] / n - (moments[..., 0] / n) ** 2, 0)


def _write_groups(folder: Path, kind: str, labels: list[str], member: pd.Series, moments: np.ndarray) -> None:
    sizes = member.astype(str).value_counts()[labels].to_numpy()
    np.save(folder / f"{kind}_mean.npy", (moments[:, :, LOG_SUM] / sizes[:, None]).astype(np.float32))
    pd.DataFrame({kind: labels, "n_cells": sizes}).to_parquet(folder / f"{kind}.parquet")


def _gene_table(genes: np.ndarray, accumulator: Accumulator, moments: np.ndarray, sizes: np.ndarray) -> pd.DataFrame:
    n_cells, n_control = sizes.sum(), sizes[0]
    total = moments.sum(axis=0)
    nonzero = accumulator.nonzero.sum(axis=1)
    ctrl_mean = moments[0, :, SUM] / n_control
    pert_mean = (total[:, SUM] - moments[0, :, SUM]) / max(n_cells - n_control, 1)
    return pd.DataFrame(
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
            "normalised_mean": accumulator.genes[:, LINEAR_SUM] / n_cells,
            "normalised_var": _variance(accumulator.genes[:, LINEAR_SUM:], n_cells),
        }
    )


def _residual(label: str, linear: np.ndarray, row: int, position: dict[str, int]) -> float:
    """Expression left on the target, as a fraction of control, in expm1(mean log1p); the mean over two targets."""
    columns = [position[gene] for gene in label.split("+") if gene in position]
    left = [linear[row, c] / linear[0, c] for c in columns if row and linear[0, c] > 0]
    return float(np.mean(left)) if left else np.nan
