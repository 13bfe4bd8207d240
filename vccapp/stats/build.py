"""Building the index of a dataset: totals, one streaming pass, differential expression. Needs no more than it says.

Runs as the job `index` (`vccapp data index FILE`). What it writes is read by `vccapp.stats.index`.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp import __version__
from vccapp.data.atomic import write_folder
from vccapp.data.dataset import Dataset
from vccapp.errors import DataError, ResourceError
from vccapp.progress import Progress, part, silent
from vccapp.stats.accumulator import LOG_SQUARES, LOG_SUM, SUM, Accumulator, Grouping
from vccapp.stats.de import compute_de
from vccapp.stats.index import VERSION, compute_deg_counts
from vccapp.stats.normalise import compute_scaling, compute_target_sum
from vccapp.stats.store import BLOCK_CELLS, GeneStore, StoreWriter

BLOCK_VALUES = 2**22
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
            f"The index of {dataset.path.name} needs about {needed / 1e9:.1f} GB of memory for {grouping.n_rows:,} groups "
            f"of cells, {memory_bytes / 1e9:.1f} GB are allowed; raise VCCAPP_MEMORY_GB."
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
            grouping.rows[:, 0] // 2,
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


def read_ahead(blocks: Iterator) -> Iterator:
    """Fetch the next block on a thread while the present one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, blocks, None)
        while (block := following.result()) is not None:
            following = thread.submit(next, blocks, None)
            yield block


def _write_tables(folder: Path, dataset: Dataset, accumulator: Accumulator, cells: pd.DataFrame) -> None:
    grouping = accumulator.grouping
    code = grouping.rows[:, 0] // 2
    sizes = np.bincount(code, minlength=len(grouping.perturbations))
    moments = accumulator.rows_of("perturbation")
    means = moments[:, :, LOG_SUM] / sizes[:, None]
    variances = np.maximum(moments[:, :, LOG_SQUARES] / sizes[:, None] - means**2, 0)
    half_sizes = np.bincount(grouping.rows[:, 0], minlength=2 * len(sizes)).reshape(-1, 2).T
    halves = accumulator.rows_of("half")[..., LOG_SUM] / np.maximum(half_sizes, 1)[:, :, None]
    np.save(folder / "mean.npy", means.astype(np.float32))
    np.save(folder / "variance.npy", variances.astype(np.float32))
    np.save(folder / "half_mean.npy", halves.astype(np.float32))
    np.save(folder / "count_sum.npy", moments[:, :, SUM])
    for kind, column, labels in (("guide", 1, grouping.guides), ("batch", 2, grouping.batches)):
        first = grouping.rows[:, column].min()
        group_sizes = np.bincount(grouping.rows[:, column] - first, minlength=len(labels))
        sums = accumulator.rows_of(kind)
        np.save(folder / f"{kind}_mean.npy", (sums[..., LOG_SUM] / group_sizes[:, None]).astype(np.float32))
        frame = pd.DataFrame({kind: labels, "n_cells": group_sizes})
        if kind == "guide":
            frame["perturbation"] = cells.groupby(cells["guide"].astype(str))["perturbation"].first()[labels].to_numpy()
        frame.to_parquet(folder / f"{kind}.parquet")

    nonzero, control, others = accumulator.nonzero, sizes[0], max(sizes[1:].sum(), 1)
    total = moments[:, :, SUM].sum(axis=0)
    log_mean = moments[:, :, LOG_SUM].sum(axis=0) / dataset.n_cells
    ctrl_mean, pert_mean = moments[0, :, SUM] / control, moments[1:, :, SUM].sum(axis=0) / others
    genes = pd.DataFrame(
        {
            "gene": dataset.genes,
            "mean": total / dataset.n_cells,
            "max": accumulator.largest,
            "min": np.where(nonzero.sum(axis=0) < dataset.n_cells, 0.0, accumulator.smallest),
            "nonzero_fraction": nonzero.sum(axis=0) / dataset.n_cells,
            "ctrl_mean": ctrl_mean,
            "pert_mean": pert_mean,
            "delta": pert_mean - ctrl_mean,
            "abs_delta": np.abs(pert_mean - ctrl_mean),
            "ctrl_nonzero_fraction": nonzero[0] / control,
            "log_mean": log_mean,
            "log_var": moments[:, :, LOG_SQUARES].sum(axis=0) / dataset.n_cells - log_mean**2,
        }
    )
    genes.to_parquet(folder / "genes.parquet")
    cells.to_parquet(folder / "cells.parquet")

    position = {gene: i for i, gene in enumerate(dataset.genes)}
    linear = np.expm1(means)
    knockdown = [_residual(label, linear, row, position) for row, label in enumerate(grouping.perturbations)]
    medians = cells.groupby(code)[["umis", "genes"]].median()
    fdr = np.load(folder / "de/fdr.npy", mmap_mode="r")
    lfc = np.load(folder / "de/lfc_2025.npy", mmap_mode="r")
    degs = compute_deg_counts(fdr, lfc, fdr_below=0.05, min_abs_lfc=0.0)
    pd.DataFrame(
        {
            "perturbation": grouping.perturbations,
            "n_cells": sizes,
            "umis_median": medians["umis"].to_numpy(),
            "genes_median": medians["genes"].to_numpy(),
            **degs,
            "knockdown": knockdown,
            "effect": np.linalg.norm(means - means[0], axis=1),
        }
    ).to_parquet(folder / "perturbations.parquet")


def _residual(label: str, linear: np.ndarray, row: int, position: dict[str, int]) -> float:
    """Expression left on the target, as a fraction of control, in expm1(mean log1p); the mean over two targets."""
    columns = [position[gene] for gene in label.split("+") if gene in position]
    left = [linear[row, c] / linear[0, c] for c in columns if row and linear[0, c] > 0]
    return float(np.mean(left)) if left else np.nan
