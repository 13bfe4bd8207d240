"""What pages read, cached: opened once per file version, shared by all visits."""

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.split import Split, list_splits
from vccapp.data.workspace import Record
from vccapp.jobs.store import Job, JobStore
from vccapp.settings import Settings
from vccapp.stats.index import Index, has_index
from vccapp.stats.index import load_index as open_index


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


def need_dataset() -> Record:
    """The dataset chosen in the sidebar. Where there is none yet, show how the demo is being made, and end the page."""
    from vccapp.ui.start import show_start

    record = st.session_state.get("data_record")
    if record is None:
        show_start(current_settings())
        st.stop()
    return record


def need_index() -> tuple[Record, Index]:
    """The chosen dataset and its index. Where it has none yet, offer to build it, and end the page."""
    from vccapp.ui.start import show_missing_index

    record = need_dataset()
    if not has_index(record.index_folder):
        show_missing_index(record, current_settings())
        st.stop()
    return record, load_index(record.index_folder)


@st.cache_data(max_entries=4, show_spinner=False)
def _cells(folder: Path, changed: float) -> pd.DataFrame:
    return open_index(folder).cells


def load_cells(index: Index) -> pd.DataFrame:
    """One row a cell: perturbation, guide, batch, umis, genes."""
    return _cells(index.folder, (index.folder / "index.json").stat().st_mtime)


def load_gene(index: Index, gene: str) -> np.ndarray:
    """(n_cells,) float32 log1p values of one gene."""
    return _gene(index.folder, (index.folder / "index.json").stat().st_mtime, gene)


@st.cache_data(max_entries=32, show_spinner=False)
def _gene(folder: Path, changed: float, gene: str) -> np.ndarray:
    return open_index(folder).gene_values(gene)


def load_jobs(*, limit: int) -> list[Job]:
    """The latest jobs of all tasks."""
    with JobStore(current_settings()) as store:
        return store.list(limit=limit)


def load_splits(record: Record) -> list[Split]:
    """The splits of a dataset."""
    return list_splits(current_settings(), dataset=record.fingerprint)
