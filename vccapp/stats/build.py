"""Building the index of a dataset: totals, one streaming pass, differential expression. Needs no more than it says.

Runs as the job `index` (`vccapp data index FILE`). What it writes is read by `vccapp.stats.index`. The work is done in
a hidden folder beside the index, stage by stage, so an index that was stopped or killed goes on where it was; the
finished folder is moved into place.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vccapp import __version__
from vccapp.data.atomic import read_json, write_file, write_json
from vccapp.data.dataset import Dataset
from vccapp.errors import DataError, JobError
from vccapp.progress import Progress, part, silent
from vccapp.stats.accumulator import Accumulator, Grouping
from vccapp.stats.de import compute_de
from vccapp.stats.index import VERSION
from vccapp.stats.normalise import compute_scaling, compute_target_sum
from vccapp.stats.plan import BLOCK_VALUES, plan_index
from vccapp.stats.read_ahead import read_ahead
from vccapp.stats.store import GeneStore, StoreWriter
from vccapp.stats.tables import write_tables


def build_index(
    dataset: Dataset,
    folder: Path,
    *,
    memory_bytes: int = 10**9,
    seed: int = 0,
    progress: Progress = silent,
) -> None:
    """Write the index of `dataset` to `folder`, or go on with one that was interrupted.

    Raises ResourceError before work starts, DataError for values that are neither counts nor log1p, JobError when
    another process builds the same index.
    """
    dataset.require_usable()
    plan_index(dataset).refuse(dataset.path.name, memory_bytes=memory_bytes, folder=folder)
    grouping = Grouping.of_cells(dataset.cells, seed=seed)
    started = time.time()
    counts = dataset.schema.value_space == "counts"
    with _working(folder, {"version": VERSION, "fingerprint": dataset.fingerprint, "seed": seed}) as work:
        if not (work / "totals.npy").exists():
            totals = compute_totals(dataset, progress=part(progress, 0.0, 0.15))
            with write_file(work / "totals.npy") as beside, beside.open("wb") as file:
                np.save(file, totals)
        totals = np.load(work / "totals.npy")
        target_sum = compute_target_sum(totals)
        scaling = compute_scaling(totals, target_sum) if counts else np.zeros(dataset.n_cells, np.float32)
        if not (work / "sums").exists():
            sums, detected = stream(
                dataset, grouping, scaling, store=work / "store", progress=part(progress, 0.15, 0.55)
            )
            np.save(work / "detected.npy", detected)
            sums.save(work / "sums")
        compute_de(
            GeneStore(work / "store"),
            scaling,
            grouping.perturbation,
            len(grouping.perturbations),
            target_sum=target_sum,
            folder=work / "de",
            progress=part(progress, 0.55, 0.98),
        )
        cells = dataset.cells[["perturbation", "guide", "batch"]].reset_index(drop=True)
        umis = totals.astype(np.float32) if counts else np.nan
        cells = cells.assign(umis=umis, genes=np.load(work / "detected.npy"))
        write_tables(work, dataset.genes, Accumulator.load(work / "sums", grouping), cells)
        np.save(work / "scaling.npy", scaling)
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
        (work / "index.json").write_text(json.dumps(meta, indent=2))
        progress(1.0, "index written")


@contextmanager
def _working(folder: Path, key: dict) -> Iterator[Path]:
    """The hidden folder of an unfinished index, emptied unless it was begun for the same `key`; moved in the end."""
    work = folder.with_name(f".{folder.name}.building")
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"Another job builds the index {folder} at this moment; wait for it or stop it."
            raise JobError(msg) from None
        if not (work / "key.json").exists() or read_json(work / "key.json") != key:
            for path in work.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != "lock":
                    path.unlink()
            write_json(work / "key.json", key)
        yield work
        shutil.rmtree(work / "sums")
        for name in ("key.json", "totals.npy", "detected.npy"):
            (work / name).unlink()
        os.sync()
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(work, folder)
        (folder / "lock").unlink()


def compute_totals(dataset: Dataset, *, progress: Progress = silent) -> np.ndarray:
    """(n_cells,) float64 totals: UMIs, or sums of expm1 for log1p input. Looks at every value: raises DataError."""
    from vccapp.stats import kernels

    totals = np.zeros(dataset.n_cells)
    counts = dataset.schema.value_space == "counts"
    for start, block in read_ahead(dataset.iter_rows(max_values=BLOCK_VALUES)):
        _check_values(block.data, start, dataset, counts=counts)
        data = block.data if counts else np.expm1(block.data)
        stop = start + block.shape[0]
        totals[start:stop] = kernels.row_totals(data, block.indptr)
        progress(stop / dataset.n_cells, f"totals, cell {stop:,} of {dataset.n_cells:,}")
    return totals


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
) -> tuple[Accumulator, np.ndarray]:
    """The streaming pass: sums of every group and detected genes per cell, and the store if a folder is given."""
    detected = np.zeros(dataset.n_cells, np.int32)
    accumulator = Accumulator(grouping, dataset.n_genes)
    dtype = "uint8" if dataset.schema.value_space == "counts" else "float32"
    writer = store and StoreWriter(store, n_cells=dataset.n_cells, n_genes=dataset.n_genes, dtype=dtype)
    for start, block in read_ahead(dataset.iter_rows(max_values=BLOCK_VALUES)):
        stop = start + block.shape[0]
        accumulator.add(block, start, scaling[start:stop])
        detected[start:stop] = np.diff(block.indptr)
        if writer:
            writer.add(block)
        progress(stop / dataset.n_cells, f"statistics, cell {stop:,} of {dataset.n_cells:,}")
    if writer:
        writer.close()
    return accumulator, detected
