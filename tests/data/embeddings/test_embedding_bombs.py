"""Files of gene vectors that unpack to more than they should are refused before they are unpacked."""

import gzip
import io
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vccapp.data.embeddings import read_embedding
from vccapp.data.embeddings.readers import base
from vccapp.errors import DataError

BOMBS: dict[str, Callable[[Path], Path]] = {}


def bomb(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    BOMBS[write.__name__] = write
    return write


def header(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return out.getvalue()


@bomb
def npz_of_zeros(folder: Path) -> Path:
    path = folder / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("v.npy", "w", force_zip64=True) as out,
    ):
        out.write(header((300, 2**18)))
        for _ in range(300):
            out.write(bytes(2**20))
    return path


@bomb
def npz_whose_header_lies(folder: Path) -> Path:
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v.npy", header((10**9, 100)) + bytes(100))
    return path


@bomb
def csv_gz(folder: Path) -> Path:
    path = folder / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(b"gene,a\n")
        for _ in range(300):
            out.write(b"STAT1,00000000000\n" * 2**16)
    return path


@bomb
def one_long_line(folder: Path) -> Path:
    path = folder / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        for _ in range(64):
            out.write(b"0," * 2**19)
    return path


@bomb
def nested_lists(folder: Path) -> Path:
    value: object = [0.0] * 100
    for _ in range(12):
        value = [value] * 100
    (folder / "a.pickle").write_bytes(pickle.dumps({"STAT1": value}))
    return folder / "a.pickle"


@bomb
def one_vector_many_times(folder: Path) -> Path:
    value = np.zeros(2**18, np.float32)
    (folder / "a.pickle").write_bytes(pickle.dumps({f"G{i}": value for i in range(400)}))
    return folder / "a.pickle"


@bomb
def parquet_of_one_value(folder: Path) -> Path:
    column = pa.array(np.zeros(10**7))
    parquet.write_table(pa.table({f"c{i}": column for i in range(10)}), folder / "a.parquet")
    return folder / "a.parquet"


@bomb
def tensor_that_repeats(folder: Path) -> Path:
    import torch

    torch.save({"STAT1": torch.zeros(1).expand(10**10)}, folder / "a.pt")
    return folder / "a.pt"


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_refused_before_it_is_unpacked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of 0.27 GB in place of 2.1 GB, so that the files are made in a moment."""
    for module in ("base", "readers.table", "readers.genept"):
        monkeypatch.setattr(f"vccapp.data.embeddings.{module.replace('base', 'readers.base')}.MAX_BYTES", 2**28)
    path = BOMBS[name](tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError) as caught:
        read_embedding(path)
    assert caught.value.code in {"too_large", "npz_unreadable", "not_vectors"}
    assert len(str(caught.value)) < 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_200_000  # kB, of pandas' first 0.27 GB
    assert base.MAX_BYTES == 2**28
