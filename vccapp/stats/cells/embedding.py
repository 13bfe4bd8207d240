"""Embeddings of cells beside the index: an array (n_cells, d) a name, as `obsm` keeps them in an h5ad.

write_pca(index, n_components=50)                     # "X_pca"
import_cell_embedding(dataset, index, "X_emb")        # obsm["X_emb"] of the data's own file
rows = open_cell_embedding(index, "X_pca")            # memory-mapped (n_cells, d) float32
list_cell_embeddings(index)

<index>/embeddings/<name>/values.npy, embedding.json {"method", "settings", "seen", ...}
`seen` are the perturbations of which cells it learnt how to place cells; all where it is null.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vccapp.data.atomic import reserve, write_folder, write_json
from vccapp.data.reading.dataset import Dataset
from vccapp.data.stores.files import open_store, reading
from vccapp.errors import DataError, SpecError
from vccapp.progress import Progress, silent
from vccapp.records import Format, Listing, list_records, read_record, undamaged
from vccapp.stats.cells.matrix import CellMatrix, open_cell_matrix
from vccapp.stats.cells.variable import choose_genes, seen_cells
from vccapp.stats.index import Index
from vccapp.stats.knowledge import Knowledge

EMBEDDING = Format(
    "cell embedding", 2, {1: lambda fields: fields | {"seen": None}}, fix="make it again (vccapp model embed)"
)
"""Version 1 learnt from all cells."""
OBSM = "obsm"
"""The method of those that were taken from the data's file: nobody says what they have seen."""
RECORD = "embedding.json"
BLOCK_VALUES = 2**24
"""Values of cells in memory at a time: 64 MB."""


def open_cell_embedding(index: Index, name: str) -> np.ndarray:
    """(n_cells, d) float32, memory-mapped. Raises SpecError when the data have no such embedding."""
    folder = _folder(index, name)
    if not (folder / RECORD).exists():
        known = ", ".join(about["name"] for about in list_cell_embeddings(index)) or "none"
        raise SpecError(
            "no_cell_embedding",
            f"The dataset has no cell embedding '{name}' (there are: {known})",
            fix="make it with `vccapp model embed`",
        )
    width = _read(folder / RECORD)["width"]
    with undamaged(folder / "values.npy", fix=EMBEDDING.fix):
        values = np.load(folder / "values.npy", mmap_mode="r")
        if values.shape != (wanted := (index.meta["n_cells"], width)):
            msg = f"its shape is {values.shape}, not {wanted}"
            raise ValueError(msg)
        return values


def describe_cell_embedding(index: Index, name: str) -> Knowledge:
    """What it has seen. Raises SpecError when the data have no such embedding."""
    open_cell_embedding(index, name)
    about = _read(_folder(index, name) / RECORD)
    if about["method"] == OBSM:
        return Knowledge(source=f"The cell embedding {name}, taken from the file,")
    return Knowledge(
        source=f"The cell embedding {name}",
        dataset=index.meta["fingerprint"],
        learnt=index.perturbed if about["seen"] is None else about["seen"],
        fix=f"make it again with the split (vccapp model embed {index.folder.parent.name} --split NAME)",
    )


def list_cell_embeddings(index: Index) -> Listing[dict[str, Any]]:
    """What is known of each: name, method, width, ..."""
    return list_records(index.folder.glob(f"embeddings/*/{RECORD}"), _read)


def _read(path: Path) -> dict[str, Any]:
    return read_record(path, EMBEDDING, lambda saved: {"name": path.parent.name, "width": saved["width"]} | saved)


def write_cell_embedding(
    index: Index,
    name: str,
    *,
    width: int,
    blocks: Iterator[tuple[int, np.ndarray]],
    about: dict[str, Any],
    files: Callable[[Path], None] | None = None,
) -> Path:
    """Write (first cell, (n, width)) blocks, and what `files` writes beside them; returns the folder.

    Raises DataError where the index was deleted in the meantime.
    """
    with write_folder(_folder(index, name)) as beside:
        shape = (int(index.meta["n_cells"]), width)
        values = np.lib.format.open_memmap(beside / "values.npy", mode="w+", dtype=np.float32, shape=shape)
        reserve(beside / "values.npy")
        for first, block in blocks:
            values[first : first + len(block)] = block
        values.flush()
        del values
        if files is not None:
            files(beside)
        if not (index.folder / "index.json").is_file():  # what is written beside no index goes with the next one
            raise DataError(
                "index_gone", f"The index {index.folder} was deleted meanwhile", fix="build it again, then embed again"
            )
        write_json(beside / RECORD, EMBEDDING.stamp(about | {"width": width}))
    return _folder(index, name)


def import_cell_embedding(dataset: Dataset, index: Index, key: str, *, progress: Progress = silent) -> Path:
    """Take an array of numbers from obsm of the data's file (or files, one after the other), under its own name.

    Raises DataError when a file has no such array, or it holds values that are not numbers.
    """
    widths = set()
    for path in dataset.sources:
        with reading(path), open_store(path, dataset.access) as store:
            obsm = store.get("obsm", {})
            known = {name: obsm[name].shape[1] for name in obsm if len(getattr(obsm[name], "shape", ())) == 2}
            if key not in known:
                raise DataError(
                    "no_obsm",
                    f"{path.name} has no array '{key}' in obsm (has: {', '.join(known) or 'none'})",
                    fix="name another",
                )
            widths.add(known[key])
    if len(widths) > 1:
        raise DataError(
            "obsm_differs",
            f"obsm['{key}'] has {sorted(widths)} columns in these files",
            fix="embed them together",
        )
    [width] = widths
    step = max(1, BLOCK_VALUES // width)

    def read() -> Iterator[tuple[int, np.ndarray]]:
        start = 0
        for path, kept in zip(dataset.sources, dataset.kept, strict=True):
            with reading(path), open_store(path, dataset.access) as store:
                values = store["obsm"][key]
                places = np.arange(values.shape[0]) if kept is None else kept
                for first in range(0, len(places), step):
                    rows = places[first : first + step]
                    block = np.asarray(values[int(rows[0]) : int(rows[-1]) + 1], np.float32)[rows - rows[0]]
                    if not np.isfinite(block).all():
                        raise DataError(
                            "not_numbers",
                            f"obsm['{key}'] of {path.name} has values that are not numbers",
                            fix="repair them first",
                        )
                    yield start + first, block
                    progress((start + first) / dataset.n_cells, f"Reading obsm['{key}']")
                start += len(places)

    about = {"method": OBSM, "file": dataset.path.name, "seen": None}
    return write_cell_embedding(index, key, width=width, blocks=read(), about=about)


def write_pca(
    index: Index,
    *,
    n_components: int = 50,
    n_genes: int = 2000,
    name: str = "X_pca",
    seen: Sequence[str] | None = None,
    memory_bytes: int = 2 * 10**9,
    progress: Progress = silent,
) -> Path:
    """Principal components of the log1p values of variable genes, exact, in two passes over the cells.

    The first sums the products of genes (n_genes^2 numbers), the second projects all cells.
    seen : perturbations whose cells, beside the controls, decide on genes and components; None: all
    """
    genes = choose_genes(index, n_genes, seen=seen)
    matrix = open_cell_matrix(index, genes, memory_bytes=memory_bytes // 2)
    n_cells, rows = matrix.shape[0], seen_cells(index, seen)
    n_components = min(n_components, len(genes), len(rows))
    total, products = np.zeros(len(genes)), np.zeros((len(genes), len(genes)))
    for first, block in iter_rows(matrix, rows):
        total += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block
        progress(0.7 * first / len(rows), "Summing gene products")
    mean = total / len(rows)
    values, vectors = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
    vectors = vectors[:, ::-1][:, :n_components]
    vectors *= np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(n_components)] < 0, -1, 1)
    offset = (mean @ vectors).astype(np.float32)
    projection = vectors.astype(np.float32)

    def project() -> Iterator[tuple[int, np.ndarray]]:
        for first, block in iter_rows(matrix):
            yield first, block @ projection - offset
            progress(0.7 + 0.3 * first / n_cells, "Projecting the cells")

    explained = values[::-1][:n_components].clip(0) / max(values.clip(0).sum(), 1e-30)
    about = {"method": "pca", "genes": len(genes), "explained": explained.round(6).tolist(), "seen": seen}
    return write_cell_embedding(index, name, width=n_components, blocks=project(), about=about)


def iter_rows(matrix: CellMatrix, cells: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """(place of the first, (n, n_genes) float32 log1p) over `cells` (row numbers), or all."""
    cells = np.arange(matrix.shape[0]) if cells is None else cells
    step = max(1, BLOCK_VALUES // max(matrix.shape[1], 1))
    for first in range(0, len(cells), step):
        yield first, matrix.rows(cells[first : first + step])


def _folder(index: Index, name: str) -> Path:
    return index.folder / "embeddings" / name
