"""What pages read, cached: opened once per file version, shared by all visits."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.schema import CONTROL
from vccapp.data.split import Split, list_splits
from vccapp.data.workspace import Record
from vccapp.jobs.store import Job, JobStore
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.stats.index import load_index as open_index
from vccapp.stats.views import Similarity, compute_depth, compute_similarity, count_pairs, measure_guides


def current_settings() -> Settings:
    """The settings, from the environment."""
    return Settings()


@st.cache_resource(max_entries=4, show_spinner=False)
def _index(folder: Path, changed: float) -> Index:
    return open_index(folder)


def load_index(folder: Path) -> Index:
    """The index in a folder; opened anew when it was rebuilt. Raises DataError when there is none."""
    file = folder / "index.json"
    return _index(folder, file.stat().st_mtime if file.exists() else 0.0)


def load_cells(index: Index) -> pd.DataFrame:
    """One row a cell: perturbation, guide, batch, umis, genes. Shared by all visits: not to be changed."""
    return _read("cells", index, ())


def load_depth(index: Index, by: str) -> pd.DataFrame:
    """UMIs and genes per cell of each perturbation, guide or batch; see `compute_depth`."""
    return _read("depth", index, (by,))


def load_pairs(index: Index) -> pd.DataFrame:
    """Cells of each perturbation in each batch, without the controls."""
    return _read("pairs", index, ())


def load_guides(index: Index) -> pd.DataFrame:
    """Knock-down of each guide; see `measure_guides`."""
    return _read("guides", index, ())


def load_gene(index: Index, gene: str) -> np.ndarray:
    """(n_cells,) float32 log1p values of one gene."""
    return _read("gene", index, (gene,))


def load_similarity(index: Index, which: str) -> Similarity:
    """How alike the perturbations are, over the highly "variable" genes or over "all"."""
    return _read("similarity", index, (which,))


_READERS = {
    "cells": lambda index: index.cells,
    "depth": lambda index, by: compute_depth(load_cells(index), by=by),
    "pairs": lambda index: count_pairs(load_cells(index)).loc[lambda pairs: pairs["perturbation"] != CONTROL],
    "guides": lambda index: measure_guides(index, load_cells(index)),
    "gene": lambda index, gene: index.gene_values(gene),
    "similarity": lambda index, which: compute_similarity(index, variable_only=which == "variable"),
}


def _read(what: str, index: Index, args: tuple[str, ...]) -> Any:
    return _shared(what, index.folder, (index.folder / "index.json").stat().st_mtime, args)


@st.cache_resource(max_entries=64, show_spinner=False)
def _shared(what: str, folder: Path, changed: float, args: tuple[str, ...]) -> Any:
    return _READERS[what](_index(folder, changed), *args)


def load_jobs(*, limit: int) -> list[Job]:
    """The latest jobs of all tasks."""
    with JobStore(current_settings()) as store:
        return store.list(limit=limit)


def load_splits(record: Record) -> list[Split]:
    """The splits of a dataset."""
    return list_splits(current_settings(), dataset=record.fingerprint)
