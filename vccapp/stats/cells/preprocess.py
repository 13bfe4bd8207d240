"""Preprocessed cells as an h5ad: depth-normalised log1p values and the highly variable genes, ready for training.

What `state tx preprocess_train` makes with scanpy (`normalize_total` to the median, `log1p`, `highly_variable_genes` of
the `seurat` flavour, the chosen genes dense in obsm), streamed by blocks of cells within 1 GB at any size: totals and
dispersions are taken from the index. Run it as `vccapp data preprocess DATASET OUT.h5ad`.
"""

import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from vccapp.data.atomic import require_new, write_file
from vccapp.data.h5ad import GrowingCsr, NewFile, create_h5, write_tables
from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.ignored import COLUMN
from vccapp.data.reading.tables import read_tables
from vccapp.data.resources import MARGIN, VALUE_BYTES, require_disk
from vccapp.data.stores.access import Access
from vccapp.data.stores.files import open_store, reading
from vccapp.errors import DataError
from vccapp.progress import Progress, silent
from vccapp.stats.building.read_ahead import read_ahead
from vccapp.stats.cells.embedding import list_cell_embeddings, open_cell_embedding
from vccapp.stats.hvg import choose_hvg
from vccapp.stats.index import Index
from vccapp.stats.normalise import log_rows

BLOCK_VALUES = 2**22
"""Stored values in one block: about 150 MB with its copies."""
CHUNK_ROWS = 8
"""Cells in one HDF5 chunk of obsm: few, since training reads cells in any order."""


def write_preprocessed(
    dataset: Dataset, index: Index, out: Path, *, n_hvg: int = 2000, progress: Progress = silent
) -> int:
    """Write `out`; returns how many highly variable genes it has (fewer than `n_hvg` where fewer vary, more by ties).

    X (n_cells, n_genes) CSR float32 log1p; obsm/X_hvg (n_cells, n chosen) dense float32, genes in the order of var;
    obs, var and uns of the source (no uns of several files), var and uns with what scanpy adds; the cell embeddings
    beside the index (X_pca, X_state) in obsm; an ignored context in uns. Layers, raw and other obsm are left out.
    Raises SpecError for an output that exists, DataError for an index of other data, ResourceError for a full disk.
    """
    require_new(out, suffix=".h5ad", what="Preprocessed cells")
    if index.meta["fingerprint"] != dataset.fingerprint:
        raise DataError(
            "data_changed",
            f"The index {index.folder} is of the data {index.meta['fingerprint']}, but {dataset.path.name} is "
            f"{dataset.fingerprint}",
            fix=f"index it with `vccapp data index {dataset.path}`",
        )
    chosen = choose_hvg(index.genes["dispersions_norm"], n_top=n_hvg).to_numpy()
    embeddings = {about["name"]: open_cell_embedding(index, about["name"]) for about in list_cell_embeddings(index)}
    _check_disk(dataset, out, n_dense=int(chosen.sum()) + sum(values.shape[1] for values in embeddings.values()))
    progress(0.0, "Reading obs and var")
    obs, var, uns = _read_annotation(dataset)
    added = index.genes[["means", "dispersions", "dispersions_norm"]].astype({"dispersions_norm": np.float32})
    added.insert(0, "highly_variable", chosen)
    var = var.assign(**{name: column.to_numpy() for name, column in added.items()})
    uns = uns | {"log1p": {"base": None}, "hvg": {"flavor": "seurat"}}
    if context := index.meta[COLUMN]:
        uns |= {COLUMN: context}
    with write_file(out, new=True) as beside, create_h5(beside) as file:
        _write_cells(file, dataset, index, np.flatnonzero(chosen), progress)
        for name, values in embeddings.items():
            _create_dense(file["obsm"], name, values.shape)[:] = values
            file.check()
        write_tables(file, obs=obs, var=var, uns=uns)
    progress(1.0, f"{dataset.n_cells:,} cells, {chosen.sum():,} highly variable genes written")
    return int(chosen.sum())


def _check_disk(dataset: Dataset, out: Path, *, n_dense: int) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    n_values = dataset.schema.n_values or dataset.n_cells * dataset.n_genes
    needed = MARGIN * (VALUE_BYTES * n_values + 4 * dataset.n_cells * n_dense)
    require_disk(out.parent, needed, purpose=f"The file {out.name}", fix="free some space or write to another disk")


def _read_annotation(dataset: Dataset) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """obs, var and uns as they are in the source; of several files the common columns of obs, and var of the first."""
    import anndata as ad

    tables = []
    for path, kept in zip(dataset.sources, dataset.kept, strict=True):
        with reading(path):
            found = read_tables(path, dataset.access)
            tables.append(found.obs if kept is None else found.obs.iloc[kept])
            if path == dataset.sources[0]:
                var, uns = found.var, _read_uns(path, dataset.access)
    if list(map(str, var.index)) != dataset.genes.tolist():
        var = var.set_axis(dataset.genes) if len(var) == dataset.n_genes else pd.DataFrame(index=dataset.genes)
    if len(tables) == 1:
        return tables[0], var, uns
    joined = ad.concat([ad.AnnData(obs=table) for table in tables])
    joined.obs_names_make_unique()
    return joined.obs, var, {"simulated": True} if dataset.simulated else {}


def _read_uns(path: Path, access: Access) -> dict[str, Any]:
    """uns, without the parts that cannot be read."""
    from anndata.io import read_elem

    uns = {}
    with open_store(path, access) as store:
        for name in store["uns"] if "uns" in store and not hasattr(store["uns"], "shape") else ():
            with contextlib.suppress(Exception):  # of whatever library wrote it; nothing here needs it
                uns[name] = read_elem(store["uns"][name])
    return uns


def _write_cells(file: NewFile, dataset: Dataset, index: Index, genes: np.ndarray, progress: Progress) -> None:
    """X and obsm/X_hvg, block by block."""
    n_cells, n_genes = dataset.n_cells, dataset.n_genes
    x = GrowingCsr(file, n_genes=n_genes)
    obsm = file.create_group("obsm")
    obsm.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    hvg = _create_dense(obsm, "X_hvg", (n_cells, len(genes)))
    scaling = index.array("scaling")
    for start, counts in read_ahead(dataset.iter_rows(max_values=BLOCK_VALUES)):
        stop = start + counts.shape[0]
        block = log_rows(counts, scaling[start:stop])
        x.append(block.data, block.indices, block.indptr[1:])
        hvg[start:stop] = block[:, genes].toarray()
        file.check()
        progress(0.99 * stop / n_cells, f"preprocessing, cell {stop:,} of {n_cells:,}")
    x.close()


def _create_dense(obsm: h5py.Group, name: str, shape: tuple[int, int]) -> h5py.Dataset:
    chunks = (min(CHUNK_ROWS, shape[0]), shape[1]) if shape[1] else None
    made = obsm.create_dataset(name, shape, "<f4", chunks=chunks)
    made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return made
