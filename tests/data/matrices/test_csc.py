"""A CSC file read by cell through buckets of cells, in an unnamed temporary file."""

import os
import pickle
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from anndata.io import write_elem
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csc_matrix, random_array
from toy import make_counts

from vccapp.data.matrices import csc as csc_module
from vccapp.data.matrices.csc import CscRows
from vccapp.data.reading.matrix import open_rows
from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError, ResourceError


def write(path: Path, x: np.ndarray) -> CscRows:
    with h5py.File(path, "w") as file:
        write_elem(file, "X", csc_matrix(x))
    return open_rows(path)


def make_matrix(n: int, m: int, density: float, seed: int) -> np.ndarray:
    return random_array((n, m), density=density, rng=np.random.default_rng(seed), dtype=np.float32).toarray()


@pytest.mark.slow
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 15),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    bucket_values=st.integers(1, 60),
    bucket_cells=st.integers(1, 20),
    max_values=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
)
@hypothesis_settings(max_examples=80, deadline=None)
def test_rows_equal_scipy(n, m, density, bucket_values, bucket_cells, max_values, seed) -> None:
    x = make_matrix(n, m, density, seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(csc_module, "BUCKET_VALUES", bucket_values)
        patch.setattr(csc_module, "BUCKET_CELLS", bucket_cells)
        rows = write(Path(folder) / "x.h5ad", x)
        blocks = list(rows.iter_rows(max_values))
    assert [start for start, _ in blocks] == np.cumsum([0, *(b.shape[0] for _, b in blocks)])[:-1].tolist()
    np.testing.assert_array_equal(np.vstack([block.toarray() for _, block in blocks]), x)
    assert all(block.has_canonical_format for _, block in blocks)
    assert all(block.nnz <= max_values or block.shape[0] == 1 for _, block in blocks)


def test_the_copy_serves_every_pass_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csc_module, "BUCKET_VALUES", 50)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    x = make_matrix(40, 15, 0.5, 0)
    rows = write(tmp_path / "x.h5ad", x)
    sorted_times = []
    original = CscRows._sort_into_buckets
    monkeypatch.setattr(CscRows, "_sort_into_buckets", lambda self: sorted_times.append(1) or original(self))
    for _ in range(2):
        np.testing.assert_array_equal(np.vstack([block.toarray() for _, block in rows.iter_rows(100)]), x)
    assert sorted_times == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5ad"], "a killed process leaves nothing behind"
    handle = rows._buckets.file.fileno()
    assert os.fstat(handle).st_size == rows.scratch_bytes == rows.n_values * 8
    copy = pickle.loads(pickle.dumps(rows))
    np.testing.assert_array_equal(np.vstack([block.toarray() for _, block in copy.iter_rows(100)]), x)


def test_no_room_for_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csc_module, "BUCKET_VALUES", 50)
    rows = write(tmp_path / "x.h5ad", make_matrix(40, 15, 0.5, 0))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(200, 100, 100))
    with pytest.raises(ResourceError) as caught:
        next(rows.iter_rows(100))
    assert (caught.value.code, caught.value.found) == ("disk", 100) and "TMPDIR" in caught.value.fix


def test_damaged_indices_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csc_module, "BUCKET_VALUES", 50)
    write(tmp_path / "x.h5ad", make_matrix(40, 15, 0.5, 0))
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        file["X/indices"][200] = 40
    with refusal(DataError, "x_damaged"):
        next(open_rows(tmp_path / "x.h5ad").iter_rows(100))


@pytest.mark.slow
def test_the_schema_says_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_counts(n_cells=150, n_genes=40)
    data.X = csc_matrix(data.X)
    data.write_h5ad(tmp_path / "cells.h5ad")
    (note,) = (note for note in open_dataset(tmp_path / "cells.h5ad").schema.notes if "CSC" in note)
    assert "in memory" in note
    monkeypatch.setattr(csc_module, "BUCKET_VALUES", 50)
    (note,) = (note for note in open_dataset(tmp_path / "cells.h5ad").schema.notes if "CSC" in note)
    assert "temporary copy" in note
