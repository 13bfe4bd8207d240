"""Arrays read front to back equal slices, whatever the type, the filters, the chunks and the cuts."""

import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from toy import make_counts

from vccapp.data.matrices import chunks as chunks_module
from vccapp.data.matrices.chunks import Buffers, ChunkReader, SliceReader, open_reader

FILTERS = {
    "plain": {},
    "gzip": {"compression": "gzip"},
    "gzip shuffle": {"compression": "gzip", "shuffle": True},
    "shuffle": {"shuffle": True},
    "zstd": dict(hdf5plugin.Zstd()),
    "zstd shuffle": dict(hdf5plugin.Zstd(), shuffle=True),
    "lzf": {"compression": "lzf"},
    "checksum": {"compression": "gzip", "fletcher32": True},
    "blosc": dict(hdf5plugin.Blosc()),
}
BY_HDF5 = {"lzf", "checksum", "blosc"}
TYPES = ["float32", "float64", "float16", "int8", "int32", "uint16", "int64", ">f4", ">i8", "bool"]


def fill(n: int, dtype: str, seed: int) -> np.ndarray:
    """Half of the values are one."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 100, n)
    values[: n // 2] = 1
    return values.astype(dtype)


@pytest.mark.slow
@given(
    n=st.integers(1, 300),
    dtype=st.sampled_from(TYPES),
    filters=st.sampled_from([*FILTERS, "contiguous"]),
    chunk=st.integers(1, 400),
    cuts=st.lists(st.integers(0, 300), max_size=6),
    task=st.sampled_from([1, 7, 2**18]),
    out=st.sampled_from(["float32", "int64"]),
    seed=st.integers(0, 2**32 - 1),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_slices_equal_the_array(n, dtype, filters, chunk, cuts, task, out, seed) -> None:
    values = fill(n, dtype, seed)
    edges = sorted({0, n, *(cut for cut in cuts if cut <= n)})
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks_module, "TASK_VALUES", task)
        with h5py.File(Path(folder) / "x.h5", "w") as file:
            options = {} if filters == "contiguous" else {"chunks": (min(chunk, n),), **FILTERS[filters]}
            file.create_dataset("x", data=values, **options)
        with h5py.File(Path(folder) / "x.h5") as file, open_reader(file["x"]) as reader:
            assert isinstance(reader, SliceReader if filters in BY_HDF5 else ChunkReader)
            for first, last in zip(edges, edges[1:], strict=False):
                part = np.full(last - first, 77, out)
                reader.read(first, part)
                np.testing.assert_array_equal(part, values[first:last].astype(out))


@pytest.mark.slow
@given(
    n=st.integers(1, 200),
    chunk=st.integers(1, 60),
    zarr_format=st.sampled_from([2, 3]),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_slices_of_zarr(n, chunk, zarr_format, cuts) -> None:
    values = fill(n, "int32", 0)
    array = zarr.create_array({}, data=values, chunks=(chunk,), zarr_format=zarr_format)
    edges = sorted({0, n, *(cut for cut in cuts if cut <= n)})
    with open_reader(array) as reader:
        for first, last in zip(edges, edges[1:], strict=False):
            part = np.empty(last - first, np.float32)
            reader.read(first, part)
            np.testing.assert_array_equal(part, values[first:last])


def test_no_chunk_is_inflated_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(100), chunks=(40,), compression="gzip")
    inflated = []
    original = ChunkReader._inflate
    monkeypatch.setattr(ChunkReader, "_inflate", lambda self, chunk: inflated.append(chunk) or original(self, chunk))
    with h5py.File(tmp_path / "x.h5") as file, open_reader(file["x"]) as reader:
        for first in range(0, 100, 10):
            reader.read(first, np.empty(10, np.float32))
    assert inflated == [0, 1, 2]


@pytest.mark.parametrize("skipped", [0, 1, 2, 3])
def test_chunks_that_skipped_a_filter(skipped: int, tmp_path: Path) -> None:
    """As HDF5 writes them where deflating would make a chunk larger."""
    values = np.arange(100)
    stored = values.tobytes() if skipped & 1 else values.view(np.uint8).reshape(-1, 8).T.tobytes()
    with h5py.File(tmp_path / "x.h5", "w") as file:
        array = file.create_dataset("x", (100,), "i8", chunks=(100,), compression="gzip", shuffle=True)
        array.id.write_direct_chunk((0,), stored if skipped & 2 else zlib.compress(stored), filter_mask=skipped)
    with h5py.File(tmp_path / "x.h5") as file, open_reader(file["x"]) as reader:
        np.testing.assert_array_equal(file["x"][:], values)
        part = np.empty(100, np.int64)
        reader.read(0, part)
    np.testing.assert_array_equal(part, values)


def test_chunks_never_written_hold_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (100,), "f4", chunks=(10,), fillvalue=5)[20:30] = 1
    with h5py.File(tmp_path / "x.h5") as file, open_reader(file["x"]) as reader:
        part = np.empty(100, np.float32)
        reader.read(0, part)
    assert part.tolist() == [5] * 20 + [1] * 10 + [5] * 70


@pytest.mark.parametrize("damage", ["cut", "garbled", "short"])
def test_damage_is_noticed(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(1000), chunks=(1000,), compression=None if damage == "cut" else "gzip")
        place = file["x"].id.get_chunk_info(0).byte_offset
        if damage == "short":
            file["x"].id.write_direct_chunk((0,), zlib.compress(bytes(80)))
    with h5py.File(path) as file, open_reader(file["x"]) as reader, pytest.raises(Exception, match="."):  # noqa: PT011
        with path.open("r+b") as raw:
            if damage == "cut":
                raw.truncate(place + 100)
            elif damage == "garbled":
                raw.seek(place)
                raw.write(b"\xff" * 50)
        reader.read(0, np.empty(1000, np.int64))


def test_buffers_are_reused_only_when_free() -> None:
    buffers = Buffers(10)
    first = buffers.take(10, "float32")
    part = buffers.take(4, "float32")[1:]
    assert len({a.__array_interface__["data"][0] for a in (first, buffers.take(10, "float32"))}) == 2
    place = first.__array_interface__["data"][0]
    other = buffers.take(3, "int32")
    assert not np.shares_memory(first, part)
    assert not np.shares_memory(first, other)
    del first
    assert buffers.take(5, "float32").__array_interface__["data"][0] == place
    part[:] = 3
    assert not np.shares_memory(buffers.take(10, "float32"), part)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["everywhere", "X"])
def test_a_file_with_a_filter_of_the_plugin_package(where: str, tmp_path: Path) -> None:
    """In a process that has not loaded it."""
    data = make_counts(n_cells=150, n_genes=40)
    data.write_h5ad(tmp_path / "cells.h5ad", **(hdf5plugin.Zstd() if where == "everywhere" else {}))
    if where == "X":
        with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
            del file["X/indices"]
            file["X"].create_dataset("indices", data=data.X.indices, **hdf5plugin.Blosc())
    code = """
import sys
from vccapp.data.reading.opening import open_dataset
assert "hdf5plugin" not in sys.modules
dataset = open_dataset(sys.argv[1])
assert "hdf5plugin" in sys.modules
print(sum(block.sum() for _, block in dataset.iter_rows()))
"""
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cells.h5ad")], capture_output=True, text=True)
    assert float(found.stdout or "nan") == data.X.sum(), found.stderr
