"""Formats that cannot be read cell by cell in place, written once as h5ad: loom (genes first) and mtx (text).

The copy lies in the cache of the workspace, under a name that changes with the file.
"""

import atexit
import csv
import gzip
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import pandas as pd

from vccapp.data.atomic import write_file
from vccapp.data.h5ad import GrowingCsr, create_h5, write_tables
from vccapp.data.resources import require_disk
from vccapp.data.stores.access import Access
from vccapp.data.stores.labels import read_labels
from vccapp.data.stores.places import Place, find_place
from vccapp.data.stores.sizes import check_chunk, check_memory
from vccapp.data.stores.survey import check_links
from vccapp.errors import DataError
from vccapp.faults import refuse_shortage

if TYPE_CHECKING:
    import h5py

BLOCK_VALUES = 2**24
VALUE_BYTES = 8


def make_readable(path: Path, access: Access) -> Path:
    """The path itself, or where a copy of it lies that can be read. Raises DataError, ResourceError."""
    place = find_place(path)
    if place.kind == "mtx":
        return _converted(place, access, _write_mtx)
    if place.kind == "hdf5" and not place.group and _is_loom(place, access):
        return _converted(place, access, _write_loom)
    return path


def _is_loom(place: Place, access: Access) -> bool:
    import h5py

    with h5py.File(place.file, "r", locking="best-effort") as file:
        check_links(file, access)
        return "row_attrs" in file and "col_attrs" in file and getattr(file.get("matrix"), "ndim", 0) == 2


def _converted(place: Place, access: Access, write: Any) -> Path:
    files = sorted(place.file.iterdir()) if place.file.is_dir() else [place.file]
    states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.blake2b(repr((str(place.file.resolve()), states)).encode(), digest_size=8).hexdigest()
    target = (access.cache or _own_cache()) / key / f"{place.file.name}.h5ad"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_file(target) as beside:
            write(place, beside, access)
    return target


@cache
def _own_cache() -> Path:
    folder = tempfile.mkdtemp(prefix="vccapp-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _write_loom(place: Place, out: Path, access: Access) -> None:
    import h5py

    with h5py.File(place.file, "r", locking="best-effort") as file, create_h5(out) as new:
        matrix = file["matrix"]
        n_genes, n_cells = map(int, matrix.shape)
        if matrix.dtype.kind not in "buif":
            raise DataError("not_numbers", f"its matrix holds {matrix.dtype}, not numbers", fix="write counts there")
        check_chunk(matrix, "its matrix", access.memory_bytes)
        var, obs = _attributes(file["row_attrs"], n_genes), _attributes(file["col_attrs"], n_cells)
        width = max(1, BLOCK_VALUES // max(n_genes, 1))
        chunk = (matrix.chunks or (1, 1))[1]
        width = max(width - width % chunk, chunk) if width > chunk else width
        check_memory(24 * n_genes * min(width, n_cells), "A block of its cells", access.memory_bytes)
        require_disk(out.parent, matrix.id.get_storage_size(), purpose=f"The copy of {place.file.name} by cell")
        x = GrowingCsr(new, n_genes=n_genes)
        for start in range(0, n_cells, width):
            _append_dense(x, np.asarray(matrix[:, start : start + width], np.float32).T)
        x.close()
        var = _indexed(var, ("Gene", "gene", "var_names", "Symbol", "GeneName", "Accession"), n_genes)
        obs = _indexed(obs, ("CellID", "cell_id", "obs_names", "barcode", "Barcode"), n_cells)
        write_tables(new, obs=obs, var=var, uns={})


def _append_dense(x: GrowingCsr, block: np.ndarray) -> None:
    rows, columns = np.nonzero(block)
    x.append(block[rows, columns], columns.astype(np.int32), np.cumsum(np.bincount(rows, minlength=len(block))))


def _attributes(group: "h5py.Group", n: int) -> pd.DataFrame:
    """The one-dimensional attributes of rows or columns that have a value for each."""
    columns = {}
    for name, found in group.items():
        if getattr(found, "shape", None) == (n,):
            values = found[()]
            text = values.dtype.kind in "SO"
            columns[name] = [v.decode() if isinstance(v, bytes) else str(v) for v in values] if text else values
    return pd.DataFrame(columns, index=range(n))


def _indexed(table: pd.DataFrame, names: tuple[str, ...], n: int) -> pd.DataFrame:
    found = next((name for name in names if name in table), None)
    index = table.pop(found) if found is not None else pd.Series(range(n))
    table.index = pd.Index(index.astype(str))
    return table


def _write_mtx(place: Place, out: Path, access: Access) -> None:
    """A folder of Cell Ranger: matrix.mtx (genes x cells), barcodes.tsv, features.tsv or genes.tsv, each also .gz.

    Tables beside them whose first column holds the barcodes give the labels of the cells.
    """
    from scipy.sparse import coo_matrix

    folder = place.file
    features = _read_table(_member(folder, "features.tsv", "genes.tsv"))
    barcodes = _read_table(_member(folder, "barcodes.tsv"))
    with _open_text(_member(folder, "matrix.mtx")) as lines:
        n_genes, n_cells, n_values = _read_size(lines)
        if (n_genes, n_cells) != (len(features), len(barcodes)):
            raise DataError(
                "shape_mismatch",
                f"matrix.mtx is {n_genes:,} x {n_cells:,}, but there are {len(features):,} features and "
                f"{len(barcodes):,} barcodes",
                fix="copy the folder again",
            )
        check_memory(60 * n_values, "Its matrix of text", access.memory_bytes)
        require_disk(out.parent, VALUE_BYTES * n_values, purpose=f"The copy of {folder.name} by cell")
        values = _read_values(lines, n_values)
    genes, cells = values[:, 0].astype(np.int64) - 1, values[:, 1].astype(np.int64) - 1
    if len(values) and (min(genes.min(), cells.min()) < 0 or genes.max() >= n_genes or cells.max() >= n_cells):
        raise DataError("x_damaged", "matrix.mtx names a gene or a cell that is not there", fix="copy it again")
    x = coo_matrix((values[:, 2].astype(np.float32), (cells, genes)), shape=(n_cells, n_genes)).tocsr()
    named = features.shape[1] > 1
    var = pd.DataFrame({"gene_ids": features[0].to_numpy()}, index=pd.Index(features[1 if named else 0].astype(str)))
    if features.shape[1] > 2:
        var["feature_types"] = features[2].to_numpy()
    obs = read_labels(folder, pd.Index(barcodes[0].astype(str), name=None))
    with create_h5(out) as new:
        written = GrowingCsr(new, n_genes=n_genes)
        written.append(x.data, x.indices, x.indptr[1:])
        written.close()
        write_tables(new, obs=obs, var=var.rename_axis(None), uns={})


def _member(folder: Path, *names: str) -> Path:
    for name in names:
        for suffix in ("", ".gz"):
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise DataError("file_missing", f"the folder has no {' or '.join(names)}", fix="copy it again")


def _open_text(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _read_size(lines: TextIO) -> tuple[int, int, int]:
    head = lines.readline(1000)
    if not head.startswith("%%MatrixMarket matrix coordinate"):
        raise DataError("not_mtx", "matrix.mtx does not begin as a sparse MatrixMarket file", fix="write it again")
    for line in _short_lines(lines):
        if not line.startswith("%"):
            try:
                n_genes, n_cells, n_values = map(int, line.split())
            except ValueError:
                break
            return n_genes, n_cells, n_values
    raise DataError("not_mtx", "matrix.mtx does not say its size", fix="write it again")


def _short_lines(lines: TextIO) -> Iterator[str]:
    while line := lines.readline(10_000):
        yield line


def _read_values(lines: TextIO, n_values: int) -> np.ndarray:
    try:
        table = pd.read_csv(lines, sep=r"\s+", header=None, usecols=[0, 1, 2], nrows=n_values + 1, dtype=np.float64)
    except pd.errors.EmptyDataError:
        table = pd.DataFrame(np.zeros((0, 3)))
    except (ValueError, pd.errors.ParserError, EOFError, OSError) as error:
        refuse_shortage(error, name="matrix.mtx")
        raise DataError(
            "not_mtx", "matrix.mtx holds lines that are not gene, cell and value", fix="copy it again"
        ) from None
    if len(table) != n_values:
        raise DataError("x_damaged", f"matrix.mtx holds {len(table):,} of {n_values:,} values", fix="copy it again")
    return table.to_numpy()


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
    except (ValueError, pd.errors.ParserError, EOFError, OSError) as error:
        refuse_shortage(error, name=path.name)
        raise DataError("not_a_table", f"{path.name} cannot be read as a table", fix="copy it again") from None
