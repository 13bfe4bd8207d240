"""A checked prediction as the official packager would store it: obs of labels alone, CSR of float32, no other part.

    with slimmed(h5ad, folder, season) as ready:       # the file itself where it is so already
        write_vcc(ready, out, season)

Where the packager of the season takes counts and stores logarithms (`Container.normalises`), so does this: each cell is
scaled to the median total of the file, then log1p, by scanpy as the packager does, block by block.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.atomic import scratch_folder
from vccapp.data.h5ad import GrowingCsr, create_h5, write_tables
from vccapp.data.reading.tables import read_tables
from vccapp.data.resources import require_disk
from vccapp.progress import Progress, silent
from vccapp.seasons.base import Season
from vccapp.submission.h5ad import Cells, open_cells

FRACTION = 1e-3
"""Any positive fraction above it is a decimal to the official packager, and a file with one is no counts."""
PARTS = frozenset({"X", "obs", "var", "uns", "layers", "obsm", "obsp", "varm", "varp"})


@contextlib.contextmanager
def slimmed(h5ad: Path, folder: Path, season: Season, *, progress: Progress = silent) -> Iterator[Path]:
    """The file as it is packed: itself, or a copy in `folder` that goes at the end.

    Raises ResourceError where there is no room for the copy.
    """
    cells = open_cells(h5ad, season.pert_col, season.context_col)
    totals = sum_counts(cells) if season.container.normalises else None
    if totals is None and is_slim(h5ad, cells, season):
        yield h5ad
        return
    require_disk(folder, h5ad.stat().st_size, purpose=f"Rewriting {h5ad.name} to package it")
    with scratch_folder(folder) as scratch:
        copy = Path(scratch) / h5ad.name
        write_slim(h5ad, copy, cells, season, totals=totals, progress=progress)
        yield copy


def is_slim(h5ad: Path, cells: Cells, season: Season) -> bool:
    """Whether the file holds what is packed and nothing else; its values were checked."""
    obs, var, _ = read_tables(h5ad)
    columns = [name for name in (season.pert_col, season.context_col) if name is not None]
    with h5py.File(h5ad) as file:
        others = [name for name in file if name not in PARTS or (name not in {"X", "obs", "var"} and len(file[name]))]
    numbered = len(obs) == 0 or (str(obs.index[0]) == "0" and str(obs.index[-1]) == str(len(obs) - 1))
    return (
        not others
        and list(obs.columns) == columns
        and all(isinstance(obs[name].dtype, pd.CategoricalDtype) for name in columns)
        and numbered
        and not len(var.columns)
        and cells.layout == "csr"
        and cells.dtype == np.float32
    )


def sum_counts(cells: Cells) -> np.ndarray | None:
    """(n_cells,) totals of whole counts; None where a value has decimals, which ends the reading."""
    totals = np.zeros(cells.shape[0])
    for start, block in cells.blocks():
        if np.any(block.data - np.trunc(block.data) > FRACTION):
            return None
        totals[start : start + block.shape[0]] = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
    return totals


def write_slim(
    h5ad: Path,
    out: Path,
    cells: Cells,
    season: Season,
    *,
    totals: np.ndarray | None,
    progress: Progress = silent,
) -> None:
    """Write the copy. totals : of counts that are to be normalised; None keeps the values."""
    obs, _, _ = read_tables(h5ad)
    columns = [name for name in (season.pert_col, season.context_col) if name is not None]
    slim = pd.DataFrame({name: _labels(obs[name]) for name in columns})
    slim.index = slim.index.astype(str)
    depth = None if totals is None else float(np.median(totals[totals > 0]))
    with create_h5(out, reserved=h5ad.stat().st_size) as file:
        x = GrowingCsr(file, n_genes=cells.shape[1])
        for start, stored in cells.blocks():
            block = stored.astype(np.float32)
            block.sum_duplicates()
            block.eliminate_zeros()
            if depth is not None:
                block = _normalise(block, depth)
            x.append(block.data, block.indices, block.indptr[1:])
            progress(start / max(cells.shape[0], 1), f"Rewrote {start:,} of {cells.shape[0]:,} cells")
        x.close()
        write_tables(file, obs=slim, var=pd.DataFrame(index=np.array(cells.genes, dtype=object)), uns={})


def _labels(column: pd.Series) -> pd.Categorical:
    """As anndata stores them: categories as they are, or the sorted labels."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical(column)
    return pd.Categorical(column.astype(str))


def _normalise(block: csr_matrix, depth: float) -> csr_matrix:
    import scanpy as sc
    from anndata import AnnData

    cells = AnnData(block)
    sc.pp.normalize_total(cells, target_sum=depth)
    sc.pp.log1p(cells)
    return cells.X
