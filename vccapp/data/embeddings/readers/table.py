"""Tables of vectors: npz, parquet, csv and tsv (also .gz). Genes in the first text column or array, numbers beside.

A csv, tsv or parquet may be a table of measurements: genes may be its columns, if they are named as DepMap names them,
"TP53 (7157)"; numbers may be missing; and of more than WIDTH columns the first principal components are taken.
"""

import gzip
import logging
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd

from vccapp.data.embeddings.base import Embedding
from vccapp.data.embeddings.readers.base import MAX_BYTES, READERS, Reader, check_archive, check_total
from vccapp.errors import DataError
from vccapp.faults import refuse_shortage

LOG = logging.getLogger(__name__)

MAX_LINE = 2**24
"""Bytes of the first line: a million columns."""
WIDTH = 64
MIN_MEASURED = 0.5
"""Share of its numbers that a gene needs; what it lacks is filled with the mean of the column."""
_DEPMAP = re.compile(r"(?P<symbol>\S+) \(\d+\)")


@READERS.register("table")
class Table(Reader):
    label = "npz, parquet, csv or tsv"

    def recognises(self, path: Path, head: bytes) -> bool:
        names = path.name.lower().removesuffix(".gz")
        return head[:4] in (b"PK\x03\x04", b"PAR1") or names.endswith((".npz", ".parquet", ".csv", ".tsv", ".txt"))

    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        with path.open("rb") as file:
            head = file.read(4)
        if head == b"PK\x03\x04":
            return _read_npz(path)
        table = parse(path, lambda: _read_parquet(path) if head == b"PAR1" else read_text(path))
        if head == b"PAR1" and not isinstance(table.index, pd.RangeIndex):
            table = table.reset_index()
        numbers = table.iloc[:, 1:]
        if numbers.shape[1] == 0 or not all(pd.api.types.is_numeric_dtype(kind) for kind in numbers.dtypes):
            raise DataError(
                "not_vectors",
                f"{path.name}: its columns do not hold vectors",
                fix="put genes in the first column and only numbers in the others",
            )
        matrix, notes = numbers.to_numpy(np.float32), []
        found = [_DEPMAP.fullmatch(str(name)) for name in numbers.columns]
        if all(found):
            genes, matrix = [match["symbol"] for match in found if match], matrix.T
            notes = ["Genes are its columns."]
        else:
            genes = table.iloc[:, 0].astype(str).tolist()
        genes, matrix, filled = _fill(genes, matrix)
        if len(genes) > 1 and matrix.shape[1] > WIDTH:
            notes.append(f"First {WIDTH} principal components of {matrix.shape[1]:,} columns.")
            matrix = Embedding(tuple(genes), matrix, path.name, "").reduced(WIDTH).matrix
        self.note = " ".join([*notes, *filled])
        return genes, matrix


def parse(path: Path, read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What `read` gives of a file; DataError for what pandas, pyarrow or gzip raise."""
    try:
        return read()
    except DataError:
        raise
    except Exception as error:
        refuse_shortage(error, name=path.name)
        LOG.info("%s cannot be read as a table", path, exc_info=error)
        raise DataError(
            "table_unreadable",
            f"{path.name}: it cannot be read as a table",
            fix="put genes in the first column, numbers in the others",
        ) from None


def _fill(genes: list[str], matrix: np.ndarray) -> tuple[list[str], np.ndarray, list[str]]:
    """Genes with enough numbers, their numbers, the missing ones filled, and what was done, in sentences."""
    missing = np.isnan(matrix)
    if not missing.any() or missing.all(axis=0).any():
        return genes, matrix, []
    kept = missing.mean(axis=1) <= 1 - MIN_MEASURED
    if not kept.any():
        return genes, matrix, []
    n_left = int((~kept).sum())
    genes, matrix, missing = [gene for gene, own in zip(genes, kept, strict=True) if own], matrix[kept], missing[kept]
    filled = np.where(missing, np.nanmean(matrix, axis=0), matrix).astype(np.float32)
    said = [f"{int(missing.sum()):,} missing numbers are the mean of their column."] if missing.any() else []
    said += [f"{n_left:,} genes with fewer than half of their numbers are left out."] if n_left else []
    return genes, filled, said


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow.parquet import read_metadata

    about = read_metadata(path)
    unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    check_total(max(unpacked, 8 * about.num_rows * about.num_columns), path.name)
    return pd.read_parquet(path)


def read_text(path: Path, **options: Any) -> pd.DataFrame:
    """A csv or tsv; options : of pandas.read_csv"""
    packed = path.name.lower().endswith(".gz")
    with gzip.open(path) if packed else path.open("rb") as file:
        if len(file.readline(MAX_LINE + 1)) > MAX_LINE:
            raise DataError("not_vectors", f"{path.name}: its first line is too long", fix="write one gene a line")
        file.seek(0)
        return pd.read_csv(cast("IO[bytes]", _Bounded(file, path.name)), sep=separator_of(path), **options)


class _Bounded:
    """A file that refuses to give more than the vectors of genes take."""

    def __init__(self, file: Any, name: str) -> None:
        self.file, self.name, self.given = file, name, 0

    def read(self, n: int = -1) -> bytes:
        content: bytes = self.file.read(n if n >= 0 else MAX_BYTES + 1)
        self.given += len(content)
        check_total(self.given, self.name)
        return content

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)


def separator_of(path: Path) -> str:
    return "," if path.name.lower().removesuffix(".gz").endswith(".csv") else "\t"


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    """One array of text (n,) and one of numbers (n, d); `scale` (d,) multiplies numbers that were quantised."""
    try:
        check_archive(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: _read_array(file, name, path) for name in file.files}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        refuse_shortage(error, name=path.name)
        LOG.info("%s cannot be read as npz", path, exc_info=error)
        raise DataError(
            "npz_unreadable",
            f"{path.name}: it cannot be read as npz",
            fix="it needs an array of genes and one of vectors",
        ) from None
    scale = arrays.pop("scale", None)
    names = [array for array in arrays.values() if array.dtype.kind == "U" and array.ndim == 1]
    matrices = [array for array in arrays.values() if array.dtype.kind in "fi" and array.ndim == 2]
    if len(names) != 1 or len(matrices) != 1:
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise DataError(
            "npz_content",
            f"{path.name}: it holds {found or 'nothing'}",
            fix="it needs one array of genes and one matrix of vectors",
        )
    matrix = matrices[0].astype(np.float32)
    return names[0].tolist(), matrix if scale is None else matrix * scale


def _read_array(file: Any, name: str, path: Path) -> np.ndarray:
    """One array of an npz, whose header must not say that it is larger than its file."""
    with zipfile.ZipFile(path) as archive:
        member = next(info for info in archive.infolist() if info.filename.removesuffix(".npy") == name)
        with archive.open(member) as opened:
            version = np.lib.format.read_magic(opened)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(opened)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise DataError(
            "npz_unreadable", f"{path.name}: {name[:60]} is larger than its part of the file", fix="write it again"
        )
    found: np.ndarray = file[name]
    return found
