"""obs and var of a data file, and whether they fit its matrix: of data, predictions and submissions alike.

Columns are read one by one: one that cannot be read is left out and named, since most files are used for three of
their columns. Lengths are held against each other and against X before anything is read.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vccapp.data.matrices.rows import Rows
from vccapp.data.stores.access import CLOSED, Access
from vccapp.data.stores.files import open_store
from vccapp.data.stores.labels import read_labels
from vccapp.data.stores.layouts import find_matrix, find_tenx
from vccapp.data.stores.sizes import MAX_TEXT, check_array, check_memory, declared_bytes
from vccapp.errors import DataError, ResourceError
from vccapp.faults import refuse_shortage
from vccapp.wording import name_some

GROUPS = ("categorical", "nullable-integer", "nullable-boolean", "nullable-string-array", "string-array")
"""Encodings of a column that is a group."""
COLUMN_FAULTS = (
    "column_absent",
    "column_unknown",
    "column_shape",
    "column_length",
    "column_damaged",
    "label_too_long",
    "not_utf8",
)
"""For these a column is left out; others are of the file."""
SHOWN_LEFT_OUT = 3


class Tables(NamedTuple):
    """left_out : by name, the columns of obs and var that could not be read, and why"""

    obs: pd.DataFrame
    var: pd.DataFrame
    left_out: dict[str, str]

    @property
    def notes(self) -> list[str]:
        more = len(self.left_out) - SHOWN_LEFT_OUT
        shown = [f"{text}; it is left out." for text in [*self.left_out.values()][:SHOWN_LEFT_OUT]]
        return shown + ([f"{more:,} more columns are left out."] if more > 0 else [])


def read_tables(path: Path, access: Access = CLOSED) -> Tables:
    """obs and var. Raises DataError where there are none, ResourceError where they do not fit the memory."""
    with open_store(path, access) as store:
        tenx = find_tenx(store)
        if tenx is not None:
            return _read_tenx(tenx, path.parent, access)
        missing = [name for name in ("obs", "var") if name not in store]
        if missing:
            raise DataError(
                "tables_missing",
                f"it has no {' and no '.join(missing)} (it holds {name_some(store)})",
                fix="save it as AnnData",
            )
        _check_declared(store)
        reader = _Reader(access.memory_bytes)
        return Tables(reader.read(store, "obs"), reader.read(store, "var"), reader.left_out)


def _check_declared(store: Any) -> None:
    """Hold the shape of X, which is a matter of attributes, against the lengths of obs and var."""
    shape = declared_shape(find_matrix(store, "X"))
    n_cells, n_genes = (_length(store[name]) for name in ("obs", "var"))
    if shape is not None and None not in (n_cells, n_genes) and shape != (n_cells, n_genes):
        raise _shapes_differ("X", shape, f"obs has {n_cells:,} cells and var {n_genes:,} genes")


def declared_shape(x: Any) -> tuple[int, ...] | None:
    """The shape of a matrix by its own word; None where it says none."""
    if x is None or (hasattr(x, "shape") and len(x.shape or ()) != 2):
        return None
    shape = x.shape if hasattr(x, "shape") else x.attrs.get("shape", x.attrs.get("h5sparse_shape"))
    if shape is None and "barcodes" in x:  # of 10x, genes first
        shape = x["shape"][:2][::-1]
    try:
        sizes = tuple(int(n) for n in shape)
    except (TypeError, ValueError, OverflowError):
        return None
    return sizes if len(sizes) == 2 and min(sizes) >= 0 else None


def _length(table: Any) -> int | None:
    """Rows of a table by the declared length of its index."""
    if hasattr(table, "shape"):
        return int(table.shape[0]) if table.shape else None
    index = table.get(_index_name(table))
    values = index if hasattr(index, "shape") else None if index is None else index.get("values", index.get("codes"))
    return int(values.shape[0]) if values is not None and values.shape else None


def _index_name(table: Any) -> str:
    named = table.attrs.get("_index")
    if named is not None:
        return _text(named)
    return "_index" if "_index" in table else "index"


class _Reader:
    """Reads tables column by column; what they take of memory adds up."""

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.left_out: dict[str, str] = {}
        self._spent = 0

    def read(self, store: Any, name: str) -> pd.DataFrame:
        table = store[name]
        if hasattr(table, "shape"):
            return self._read_compound(store, name)
        index_name = _index_name(table)
        if index_name not in table:
            raise DataError("no_index", f"{name} has no index", fix="write it again with anndata")
        index = self._values(table, index_name, f"The index of {name}", None)
        columns: dict[str, Any] = {}
        for column, repeated in _column_names(table, index_name):
            if repeated:
                self.left_out[f"{column} (again)"] = f"The {name} column '{_short(column)}' is there twice"
                continue
            try:
                columns[column] = self._values(table, column, f"The {name} column '{_short(column)}'", len(index))
            except DataError as error:
                if error.code not in COLUMN_FAULTS:
                    raise
                self.left_out[column] = error.problem
        return pd.DataFrame(columns, index=pd.Index(index, name=None if index_name == "_index" else index_name))

    def _values(self, table: Any, column: str, name: str, n: int | None) -> Any:
        """One column. Raises DataError whose sentence begins with `name`."""
        from anndata.io import read_elem

        with _explained(name):
            found = table.get(column)
            if found is None:
                raise DataError("column_absent", f"{name} is listed, but absent", fix="write it again")
            arrays = {"values": found} if hasattr(found, "shape") else {key: found[key] for key in found}
            if not hasattr(found, "shape") and _text(found.attrs.get("encoding-type", "")) not in GROUPS:
                kind = _short(_text(found.attrs.get("encoding-type", "unknown")))
                raise DataError("column_unknown", f"{name} is stored as '{kind}', which is not known here")
            if hasattr(found, "shape") and "encoding-type" in found.attrs:
                _check_encoding(found, name)
            for key, array in arrays.items():
                if len(array.shape) != 1 and not (key == "categories" and array.shape == ()):
                    raise DataError("column_shape", f"{name} has {len(array.shape)} dimensions")
                if key != "categories" and n is not None and array.shape[0] != n:
                    raise DataError("column_length", f"{name} has {array.shape[0]:,} values for {n:,} rows")
                self._check_size(array, name)
            values = _legacy_categories(table, found) if "categories" in found.attrs else read_elem(found)
            _check_texts(values, name)
            return values

    def _check_size(self, array: Any, name: str) -> None:
        check_array(array, name, self.memory_bytes)
        self._spent += declared_bytes(array)
        check_memory(self._spent, "Its tables of cells and genes", self.memory_bytes)

    def _read_compound(self, store: Any, name: str) -> pd.DataFrame:
        """A table of anndata 0.5 or 0.6: one array of records, categories in uns."""
        table = store[name]
        if not table.dtype.names or len(table.shape) != 1:
            raise DataError(
                "tables_unreadable",
                f"its {name} is not a table that this version of anndata reads",
                fix="save it again with anndata 0.8 or later",
            )
        self._check_size(table, name)
        with _explained(f"The table {name}"):
            records = table[()]
        columns: dict[str, Any] = {}
        for field in records.dtype.names:
            with _explained(f"The {name} column '{_short(field)}'"):
                values = _texts(records[field])
                categories = store.get(f"uns/{field}_categories")
                if categories is not None and records[field].dtype.kind in "iu":
                    self._check_size(categories, name)
                    values = pd.Categorical.from_codes(values, np.atleast_1d(_texts(categories[()])))
                _check_texts(values, f"The {name} column '{_short(field)}'")
                columns[field] = values
        frame = pd.DataFrame(columns)
        index = next((field for field in ("index", "_index") if field in frame), frame.columns[0])
        return frame.set_index(index).rename_axis(None)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Around reading a column: what the libraries raise becomes a sentence that begins with `name`."""
    from anndata._io.specs.registry import IORegistryError

    try:
        yield
    except (DataError, ResourceError, MemoryError):
        raise
    except UnicodeDecodeError:
        raise DataError(
            "not_utf8", f"{name} holds text that is not UTF-8", fix="write it again as UTF-8 text"
        ) from None
    except IORegistryError as error:
        raise DataError(
            "column_unknown", f"{name} is stored in a way that is not known here", fix="write it again"
        ) from error
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        refuse_shortage(error, name=name)
        raise DataError("column_damaged", f"{name} does not hold together", fix="write it again") from error


@contextlib.contextmanager
def naming(left_out: dict[str, str]) -> Iterator[None]:
    """Around looking for columns: a refusal names the first of those that could not be read."""
    try:
        yield
    except DataError as error:
        if not left_out:
            raise
        raise DataError(
            error.code, f"{error.problem} ({next(iter(left_out.values()))})", found=error.found, fix=error.fix
        ) from None


def _check_encoding(found: Any, name: str) -> None:
    kind = _text(found.attrs["encoding-type"])
    if kind not in ("array", "string-array", "string", "categorical", ""):
        raise DataError("column_unknown", f"{name} is stored as '{_short(kind)}', which is not known here")


def _check_texts(values: Any, name: str) -> None:
    """Raise DataError for labels that are no labels, by their length."""
    texts = values.categories if isinstance(values, pd.Categorical) else values
    texts = texts if texts.dtype == object or isinstance(texts.dtype, pd.StringDtype) else ()
    longest = max((len(text) for text in texts if isinstance(text, str)), default=0)
    if longest > MAX_TEXT:
        raise DataError(
            "label_too_long",
            f"{name} holds a label of {longest:,} characters",
            found=longest,
            fix=f"write labels of at most {MAX_TEXT:,} characters",
        )


def _column_names(table: Any, index_name: str) -> Iterable[tuple[str, bool]]:
    """Every column in order, and whether it came before."""
    order = table.attrs.get("column-order")
    names = [name for name in table if name != "__categories"] if order is None else [_text(name) for name in order]
    seen = {index_name} if order is None else set()
    for name in names:
        if name == index_name and order is None:
            continue
        yield name, name in seen
        seen.add(name)


def _legacy_categories(table: Any, found: Any) -> pd.Categorical:
    """A column of codes as anndata 0.7 wrote it, with a reference to its categories."""
    from anndata.io import read_elem

    where = found.attrs["categories"]
    categories = table[_text(where)] if isinstance(where, str | bytes) else table.file[where]
    ordered = bool(categories.attrs.get("ordered", False))
    names = np.atleast_1d(_texts(read_elem(categories)))
    return pd.Categorical.from_codes(read_elem(found), names, ordered=ordered)


def _read_tenx(group: Any, folder: Path, access: Access) -> Tables:
    """Barcodes and features of Cell Ranger, versions 2 (genes) and 3 (features); labels from tables in the folder."""
    reader = _Reader(access.memory_bytes)
    features = group.get("features", group)
    names = {"name": "name", "gene_names": "name", "id": "gene_ids", "genes": "gene_ids"}
    names |= {"feature_type": "feature_types", "genome": "genome"}
    columns: dict[str, Any] = {}
    for key, column in names.items():
        if key in features and hasattr(features[key], "shape"):
            columns[column] = _texts(reader._values(features, key, f"The features' {key}", None))
    if "name" not in columns:
        raise DataError("tables_missing", "its features have no names", fix="save it as AnnData")
    var = pd.DataFrame(columns).set_index("name").rename_axis(None)
    barcodes = _texts(reader._values(group, "barcodes", "The barcodes", None))
    return Tables(read_labels(folder, pd.Index(barcodes)), var, reader.left_out)


def _texts(values: Any) -> Any:
    """Bytes as text; anything else as it is."""
    values = np.asarray(values)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8").astype(object)
    if values.dtype == object:
        plain = [value.decode() if isinstance(value, bytes) else value for value in values.ravel()]
        return np.array(plain, dtype=object).reshape(values.shape)
    return values


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:37]}..."


def read_raw_var(path: Path, access: Access = CLOSED) -> pd.DataFrame:
    """var of the genes of raw. Raises DataError where there is none."""
    with open_store(path, access) as store:
        if "raw/var" not in store:
            raise DataError("tables_missing", "its raw has no var", fix="choose another matrix")
        return _Reader(access.memory_bytes).read(store["raw"], "var")


def require_tables(obs: pd.DataFrame, var: pd.DataFrame) -> None:
    """Raise DataError where there is no cell, no gene or nothing that tells one cell from another."""
    if len(obs) == 0 or len(var) == 0:
        raise DataError(
            "empty_file",
            f"it holds {len(obs):,} cells and {len(var):,} genes",
            fix="choose a file that has both",
        )
    if len(obs.columns) == 0:
        raise DataError(
            "no_columns",
            "obs has no columns, so perturbations are unknown",
            fix="add a column such as target_gene",
        )


def check_shape(rows: Rows, obs: pd.DataFrame, var: pd.DataFrame | None = None) -> None:
    """Raise DataError where the matrix has other cells than obs, or other genes than var, where that is given."""
    genes = "" if var is None else f" and var {len(var):,} genes"
    if rows.shape != (len(obs), rows.shape[1] if var is None else len(var)):
        raise _shapes_differ(rows.matrix, rows.shape, f"obs has {len(obs):,} cells{genes}")


def _shapes_differ(matrix: str, shape: tuple[int, ...], tables: str) -> DataError:
    return DataError(
        "shape_mismatch",
        f"{matrix} is {shape[0]:,} x {shape[1]:,}, but {tables}, so the file is damaged",
        found=shape,
        fix="write it again",
    )
