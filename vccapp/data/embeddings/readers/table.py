"""Tables of vectors: npz, parquet, csv and tsv (also .gz). Genes in the first text column or array, numbers beside."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.embeddings.readers.base import READERS, Reader
from vccapp.errors import DataError
from vccapp.wording import reason_text


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
            table = pd.read_parquet(path) if head == b"PAR1" else pd.read_csv(path, sep=_separator(path))
        except Exception as error:
            reason = reason_text(error)
            raise DataError(
                "table_unreadable",
                f"{path.name}: it cannot be read as a table ({reason})",
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


def _separator(path: Path) -> str:
    return "," if path.name.lower().removesuffix(".gz").endswith(".csv") else "\t"


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    """One array of text (n,) and one of numbers (n, d); `scale` (d,) multiplies numbers that were quantised."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            "npz_unreadable",
            f"{path.name}: it cannot be read as npz ({error})",
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
