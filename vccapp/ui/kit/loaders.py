"""What pages read, cached: opened once for every version of its files, shared by all visits and not to be changed.

A page's loader is a plain function with `@cached` above it. Files, indexes and runs among its arguments are recognised
by where they are and when they last changed, so what was read of an older version is not shown again.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.schema import is_control
from vccapp.data.splits.split import Split, list_splits
from vccapp.data.workspace import Record, list_datasets, source_fault
from vccapp.errors import DataError, JobError
from vccapp.jobs.job import Job
from vccapp.jobs.store import JobStore
from vccapp.records import Listing
from vccapp.settings import Settings, open_settings
from vccapp.stats.index import ContextIndex, Index
from vccapp.stats.index import load_index as open_index
from vccapp.stats.views import Similarity, compute_depth, compute_similarity, count_pairs, measure_guides


def _changed(*paths: Path) -> list[tuple[str, float]]:
    """Where files or folders are, and when they last changed; 0 where there is none."""
    return [(str(path), path.stat().st_mtime if path.exists() else 0.0) for path in paths]


cached = partial(
    st.cache_resource,
    show_spinner=False,
    hash_funcs={
        type(Path()): _changed,
        Index: lambda index: _changed(index.folder / "index.json"),
        ContextIndex: lambda index: [index.context, *_changed(index.folder / "index.json")],
        # Named, not imported: most pages need no run.
        "vccapp.training.record.RunRecord": lambda run: _changed(run.folder / "run.json", run.folder / "scores"),
    },
)
"""The decorator of every loader; takes `max_entries`, and `show_spinner` where it may take a second."""


LOOK_SECONDS = 10.0
"""Between two looks at what others may change: a zarr folder of a large file takes half a second."""


def current_settings() -> Settings:
    """The settings of this visit, from the environment. Raises SpecError for one that is wrong."""
    return open_settings()


def load_index(folder: Path) -> Index:
    """The index in a folder; opened anew when it was rebuilt. Raises DataError when there is none."""
    return _open_index(folder / "index.json")


@cached(max_entries=4)
def _open_index(file: Path) -> Index:
    return open_index(file.parent)


@cached(max_entries=4)
def load_cells(index: Index) -> pd.DataFrame:
    """One row a cell: perturbation, guide, batch, umis, genes."""
    return index.cells


@cached(max_entries=16)
def load_depth(index: Index, by: str) -> pd.DataFrame:
    """UMIs and genes per cell of each perturbation, guide or batch; see `compute_depth`."""
    return compute_depth(load_cells(index), by=by)


@cached(max_entries=4)
def load_pairs(index: Index) -> pd.DataFrame:
    """Cells of each perturbation in each batch, without the controls."""
    return count_pairs(load_cells(index)).loc[lambda pairs: ~pairs["perturbation"].map(is_control)]


@cached(max_entries=4)
def load_guides(index: Index) -> pd.DataFrame:
    """Knock-down of each guide; see `measure_guides`."""
    return measure_guides(index, load_cells(index))


@cached(max_entries=48)
def load_gene(index: Index, gene: str) -> np.ndarray:
    """(n_cells,) float32 log1p values of one gene."""
    return index.gene_values(gene)


@cached(max_entries=8)
def load_similarity(index: Index, which: str) -> Similarity:
    """How alike the perturbations are, over the highly "variable" genes or over "all"."""
    return compute_similarity(index, variable_only=which == "variable")


def load_jobs(*, limit: int) -> list[Job]:
    """The latest jobs of all tasks."""
    try:
        with JobStore(current_settings()) as store:
            return store.find(limit=limit)
    except JobError:  # what shows the jobs says it
        return []


def load_datasets() -> Listing[Record]:
    """The datasets of the workspace."""
    return list_datasets(current_settings())


@cached(max_entries=16, ttl=LOOK_SECONDS)
def load_source_fault(_record: Record, fingerprint: str) -> DataError | None:
    """Why the data file of a dataset is not the one that was opened; see `source_fault`."""
    return source_fault(_record)


def load_splits(record: Record) -> Listing[Split]:
    """The splits of a dataset; unreadable ones are of any."""
    return list_splits(current_settings(), dataset=record.fingerprint)
