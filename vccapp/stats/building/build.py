"""Building the index of a dataset: totals, one streaming pass, differential expression. Uses the memory stated.

Runs as the job `index` (`vccapp data index FILE`). What it writes is read by `vccapp.stats.index`. The work is done in
a hidden folder beside the index, stage by stage, so an index that was stopped or killed goes on where it was; the
finished folder is moved into place.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from vccapp import __version__
from vccapp.data.atomic import holds_json, remove_leftovers, save_array, sync, sync_folder, write_file, write_json
from vccapp.data.lock import hold_lock
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import GROUPS
from vccapp.errors import DataError, JobError
from vccapp.progress import Progress, part, silent
from vccapp.stats.building.accumulator import Accumulator, Grouping
from vccapp.stats.building.de import compute_de
from vccapp.stats.building.executor import LOCAL, Executor, cut_evenly
from vccapp.stats.building.plan import BLOCK_VALUES, plan_index
from vccapp.stats.building.read_ahead import read_ahead
from vccapp.stats.building.tables import write_tables
from vccapp.stats.index import INDEX
from vccapp.stats.normalise import compute_scaling, compute_target_sum
from vccapp.stats.store import GeneStore, StoreWriter, block_width, describe_store


def build_index(
    dataset: Dataset,
    folder: Path,
    *,
    memory_bytes: int = 10**9,
    seed: int = 0,
    executor: Executor = LOCAL,
    progress: Progress = silent,
) -> None:
    """Write the index of `dataset` to `folder`, or go on with one that was interrupted.

    executor : where ranges of cells and of genes are worked on.

    Raises ResourceError before work starts, DataError for values that are neither counts nor log1p, JobError when
    another process builds the same index.
    """
    dataset.require_usable()
    plan_index(dataset).refuse(dataset.path.name, memory_bytes=memory_bytes, folder=folder)
    with _working(folder, INDEX.stamp({"fingerprint": dataset.fingerprint, "seed": seed})) as (stages, index):
        if not (index / "index.json").exists():
            _work(dataset, stages, index, seed=seed, executor=executor, progress=progress)
    progress(1.0, "index written")


def _work(dataset: Dataset, stages: Path, index: Path, *, seed: int, executor: Executor, progress: Progress) -> None:
    """All stages, but those whose results `stages` has. index.json is written when everything else is on the disk."""
    started = time.time()
    grouping = Grouping.of_cells(dataset.cells, seed=seed)
    counts = dataset.schema.value_space == "counts"
    if not (stages / "totals.npy").exists():
        totals = compute_totals(dataset, executor=executor, progress=part(progress, 0.0, 0.15))
        with write_file(stages / "totals.npy") as beside:
            save_array(beside, totals)
    totals = np.load(stages / "totals.npy")
    target_sums = [compute_target_sum(totals[grouping.context == number]) for number in range(grouping.n_contexts)]
    scaling = np.zeros(dataset.n_cells, np.float32)
    if counts:
        scaling = compute_scaling(totals, np.array(target_sums)[grouping.context])
    if not (stages / "sums").exists():
        sums, detected = stream(
            dataset,
            grouping,
            scaling,
            store=index / "store",
            executor=executor,
            progress=part(progress, 0.15, 0.55),
        )
        save_array(stages / "detected.npy", detected)
        sync_folder(index / "store")
        sums.save(stages / "sums")
        del sums
    compute_de(
        GeneStore(index / "store"),
        scaling,
        grouping.perturbation,
        grouping.control,
        target_sums=target_sums,
        folder=index / "de",
        executor=executor,
        progress=part(progress, 0.55, 0.98),
    )
    cells = dataset.cells[list(GROUPS)].reset_index(drop=True)
    umis = totals.astype(np.float32) if counts else np.nan
    cells = cells.assign(umis=umis, genes=np.load(stages / "detected.npy"))
    write_tables(index, dataset.genes, Accumulator.load(stages / "sums", grouping), cells)
    save_array(index / "scaling.npy", scaling)
    meta = {
        "vccapp": __version__,
        "fingerprint": dataset.fingerprint,
        "n_cells": dataset.n_cells,
        "n_genes": dataset.n_genes,
        "value_space": dataset.schema.value_space,
        "control_label": dataset.schema.control_label,
        "target_sums": target_sums,
        "context_ignored": dataset.schema.context_ignored,
        "n_cells_without_umis": int((totals == 0).sum()),
        "seed": seed,
        "seconds": round(time.time() - started, 1),
    }
    sync_folder(index)
    write_json(index / "index.json", INDEX.stamp(meta))


@contextmanager
def _working(folder: Path, key: dict) -> Iterator[tuple[Path, Path]]:
    """Two folders of an unfinished index, emptied unless they were begun for the same `key`, inside a hidden one:
    results of the stages that go when the index is done, and the index itself, which is moved into place in the end.
    """
    work = folder.with_name(f".{folder.name}.building")
    stages, index = work / "stages", work / "index"
    work.mkdir(parents=True, exist_ok=True)
    problem = f"Another job is building the index {folder}"
    with hold_lock(work / "lock", busy=JobError("index_busy", problem, fix="wait for it or stop it")):
        if not holds_json(work / "key.json", key):
            shutil.rmtree(index, ignore_errors=True)
            shutil.rmtree(stages, ignore_errors=True)
            write_json(work / "key.json", key)
        remove_leftovers(work)
        stages.mkdir(exist_ok=True)
        index.mkdir(exist_ok=True)
        yield stages, index
        # From here on index.json says that all is done, so a start after a kill comes here at once.
        shutil.rmtree(stages)
        (index / "de" / "genes_done.json").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(index, folder)
        sync(folder.parent)
        shutil.rmtree(work, ignore_errors=True)  # NFS keeps the folder of a file that is open: the lock


WRONG = ("", "NaN or infinite values", "negative values", "fractions among the counts")
"""What `kernels.row_totals` finds."""


def compute_totals(dataset: Dataset, *, executor: Executor = LOCAL, progress: Progress = silent) -> np.ndarray:
    """(n_cells,) float64 totals: UMIs, or sums of expm1 for log1p input. Looks at every value: raises DataError."""
    ranges = cut_evenly(dataset.n_cells, parts=executor.slots)
    return np.concatenate(list(executor.map(partial(_total_cells, dataset), ranges, progress=progress)))


def _total_cells(dataset: Dataset, cells: tuple[int, int], progress: Progress) -> np.ndarray:
    """Totals of a range of cells."""
    from vccapp.stats import kernels

    first, last = cells
    totals = np.zeros(last - first)
    logged = dataset.schema.value_space == "log1p"
    for start, values, ends in read_ahead(dataset.iter_values(max_values=BLOCK_VALUES, first=first, last=last)):
        stop = start + len(ends) - 1
        totals[start - first : stop - first], wrong = kernels.row_totals(values, ends, logged)
        if wrong.any():
            row = int(np.argmax(wrong > 0))
            raise DataError(
                "bad_values",
                f"{dataset.path.name} has {WRONG[wrong[row]]} in the cell of row {start + row:,}",
                fix="repair or remove such cells and index again",
            )
        progress((stop - first) / (last - first), f"totals, cell {stop:,} of {dataset.n_cells:,}")
    return totals


def stream(
    dataset: Dataset,
    grouping: Grouping,
    scaling: np.ndarray,
    *,
    store: Path | None,
    executor: Executor = LOCAL,
    progress: Progress = silent,
) -> tuple[Accumulator, np.ndarray]:
    """The streaming pass: sums of every group and detected genes per cell, and the store if a folder is given."""
    dtype = "uint8" if dataset.schema.value_space == "counts" else "float32"
    ranges = cut_evenly(dataset.n_cells, parts=executor.slots, unit=block_width(dataset.n_cells, dtype))
    work = partial(_stream_cells, dataset, grouping, scaling, store, dtype)
    sums = Accumulator(grouping, dataset.n_genes) if len(ranges) > 1 else None  # one range needs no second set
    detected: list[np.ndarray] = []
    overflow: list[np.ndarray] = []
    for sums_here, detected_here, overflow_here in executor.map(work, ranges, progress=progress):
        if sums is None:
            sums = sums_here
        else:
            sums.merge(sums_here)
        detected.append(detected_here)
        if overflow_here is not None:
            overflow.append(overflow_here)
    if store:
        describe_store(store, overflow, n_cells=dataset.n_cells, n_genes=dataset.n_genes, dtype=dtype)
    return sums or Accumulator(grouping, dataset.n_genes), np.concatenate(detected)


def _stream_cells(
    dataset: Dataset,
    grouping: Grouping,
    scaling: np.ndarray,
    store: Path | None,
    dtype: str,
    cells: tuple[int, int],
    progress: Progress,
) -> tuple[Accumulator, np.ndarray, np.ndarray | None]:
    """Sums, detected genes and the store's overflow of a range of cells that begins a block of the store."""
    first, last = cells
    detected = np.zeros(last - first, np.int32)
    sums = Accumulator(grouping, dataset.n_genes)
    n_cells, n_genes = dataset.n_cells, dataset.n_genes
    writer = StoreWriter(store, n_cells=n_cells, n_genes=n_genes, dtype=dtype, first=first) if store else None
    for start, block in read_ahead(dataset.iter_rows(max_values=BLOCK_VALUES, first=first, last=last)):
        stop = start + block.shape[0]
        sums.add(block, start, scaling[start:stop])
        detected[start - first : stop - first] = np.diff(block.indptr)
        if writer:
            writer.add(block)
        progress((stop - first) / (last - first), f"statistics, cell {stop:,} of {dataset.n_cells:,}")
    return sums, detected, writer.close() if writer else None
