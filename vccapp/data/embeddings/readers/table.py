"""Tables of vectors: npz, parquet, csv and tsv (also .gz). Genes in the first text column or array, numbers beside."""

import gzip
import logging
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd

from vccapp.data.embeddings.readers.base import MAX_BYTES, READERS, Reader, check_archive, check_total
from vccapp.errors import DataError
from vccapp.faults import refuse_shortage

LOG = logging.getLogger(__name__)

MAX_LINE = 2**24
"""Bytes of the first line: a million columns."""


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
        try:
            table = _read_parquet(path) if head == b"PAR1" else _read_text(path)
        except DataError:
            raise
        except Exception as error:  # of pandas, pyarrow and gzip
            refuse_shortage(error, name=path.name)
            LOG.info("%s cannot be read as a table", path, exc_info=error)
            raise DataError(
                "table_unreadable",
                f"{path.name}: it cannot be read as a table",
                fix="put genes in the first column, numbers in the others",
            ) from None
        if head == b"PAR1" and not isinstance(table.index, pd.RangeIndex):
            table = table.reset_index()
        numbers = table.iloc[:, 1:]
        if numbers.shape[1] == 0 or not all(pd.api.types.is_numeric_dtype(kind) for kind in numbers.dtypes):
            raise DataError(
                "not_vectors",
                f"{path.name}: its columns do not hold vectors",
                fix="put genes in the first column and only numbers in the others",
            )
        return table.iloc[:, 0].astype(str).tolist(), numbers.to_numpy(np.float32)


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow.parquet import read_metadata

    about = read_metadata(path)
    unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    check_total(max(unpacked, 8 * about.num_rows * about.num_columns), path.name)
    return pd.read_parquet(path)


def _read_text(path: Path) -> pd.DataFrame:
    packed = path.name.lower().endswith(".gz")
    with gzip.open(path) if packed else path.open("rb") as file:
        if len(file.readline(MAX_LINE + 1)) > MAX_LINE:
            raise DataError("not_vectors", f"{path.name}: its first line is too long", fix="write one gene a line")
        file.seek(0)
        return pd.read_csv(cast("IO[bytes]", _Bounded(file, path.name)), sep=_separator(path))


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


def _separator(path: Path) -> str:
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
