"""Registered datasets and the files that may be opened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_inputs import saved
from refusals import refusal
from toy import make_counts

from vccapp.data import workspace
from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import Columns
from vccapp.data.workspace import (
    check_allowed,
    list_data_files,
    list_datasets,
    open_registered,
    register,
    require_source,
    source_fault,
)
from vccapp.errors import DataError
from vccapp.settings import Settings


def test_register_and_open_again(tmp_path: Path, settings: Settings) -> None:
    columns = Columns(batch="guide_id", guide="batch")
    dataset = open_dataset(saved(tmp_path), columns=columns)
    folder = register(dataset, settings, title="Toy")
    assert folder == settings.datasets / dataset.fingerprint
    (record,) = list_datasets(settings)
    assert (record.fingerprint, record.title, record.path) == (dataset.fingerprint, "Toy", dataset.path)
    assert (record.schema, record.columns, record.simulated) == (dataset.schema, columns, False)
    assert not record.has_index
    record.index_folder.mkdir()
    (record.index_folder / "index.json").touch()
    assert record.has_index
    again = open_registered(dataset.fingerprint, settings)
    assert again.schema == dataset.schema
    assert again.cells.equals(dataset.cells)


def test_an_unchanged_file_is_not_hashed_again(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    fingerprint = open_dataset(path).fingerprint
    register(open_dataset(path), settings)
    hashed = []
    original = Dataset.fingerprint.func
    monkeypatch.setattr(Dataset.fingerprint, "func", lambda self: hashed.append(1) or original(self))
    assert open_registered(fingerprint, settings).fingerprint == fingerprint
    assert hashed == []
    os.utime(path, ns=(1, 1))
    assert open_registered(fingerprint, settings).fingerprint == fingerprint
    assert hashed == [1]
    assert open_registered(fingerprint, settings).fingerprint == fingerprint
    assert hashed == [1], "the new time of change was noted"


def test_a_changed_or_missing_file_is_refused(tmp_path: Path, settings: Settings) -> None:
    path = saved(tmp_path)
    fingerprint = open_dataset(path).fingerprint
    register(open_dataset(path), settings)
    make_counts(n_cells=120, n_genes=40, seed=5).write_h5ad(path)
    with refusal(DataError, "data_changed"):
        open_registered(fingerprint, settings)
    path.unlink()
    with refusal(DataError, "data_gone"):
        open_registered(fingerprint, settings)


@pytest.mark.slow
def test_a_changed_zarr_is_seen(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "cells.zarr"
    make_counts(n_cells=120, n_genes=40).write_zarr(path)
    fingerprint = open_dataset(path).fingerprint
    register(open_dataset(path), settings)
    assert open_registered(fingerprint, settings).n_cells == 120
    make_counts(n_cells=120, n_genes=40, seed=5).write_zarr(path)
    with refusal(DataError, "data_changed"):
        open_registered(fingerprint, settings)


def test_registering_again_follows_the_file(tmp_path: Path, settings: Settings) -> None:
    path = saved(tmp_path)
    register(open_dataset(path), settings)
    register(open_dataset(path.rename(tmp_path / "moved.h5ad")), settings)
    (record,) = list_datasets(settings)
    assert (record.path, record.title) == (tmp_path / "moved.h5ad", "moved")


def test_simulated_is_kept(tmp_path: Path, settings: Settings) -> None:
    register(open_dataset(saved(tmp_path)), settings, simulated=True)
    assert list_datasets(settings)[0].simulated
    data = make_counts(n_cells=120, n_genes=40, seed=1)
    data.uns["simulated"] = True
    data.write_h5ad(tmp_path / "told.h5ad")
    register(open_dataset(tmp_path / "told.h5ad"), settings)
    assert {record.title: record.simulated for record in list_datasets(settings)} == {"cells": True, "told": True}


@pytest.mark.parametrize("fingerprint", ["0" * 16, "../../etc", "", "ABC"])
def test_unknown_fingerprints(fingerprint: str, settings: Settings) -> None:
    with refusal(DataError, "unknown_dataset"):
        open_registered(fingerprint, settings)


def test_damaged_records_are_listed_apart(tmp_path: Path, settings: Settings) -> None:
    assert list_datasets(settings) == []
    folder = register(open_dataset(saved(tmp_path)), settings)
    record = json.loads((folder / "dataset.json").read_text())
    for name, text in (("a", "{"), ("b", "[]"), ("c", json.dumps(record | {"schema": {}}))):
        (settings.datasets / name).mkdir()
        (settings.datasets / name / "dataset.json").write_text(text)
    records = list_datasets(settings)
    assert [r.fingerprint for r in records] == [folder.name]
    assert [found.path.parent.name for found in records.unreadable] == ["a", "b", "c"]
    (folder / "dataset.json").write_text("{}")
    with pytest.raises(DataError) as error:
        open_registered(folder.name, settings)
    assert error.value.code == "record_damaged"


def test_data_files_of_the_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "data", tmp_path / "elsewhere"
    good = ["a.h5ad", "b/c.h5", "b/d.zarr/zarr.json", "1/2/3/4/deep.h5ad"]
    bad = ["x.csv", ".hidden.h5ad", ".git/y.h5ad", "b/d.zarr/inner.h5ad", "1/2/3/4/5/deeper.h5ad"]
    own = ["home/submissions/s/pred.h5ad", "home/datasets/f/x.h5ad"]
    for name in [*good, *bad, *own]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    outside.mkdir()
    (outside / "secret.h5ad").touch()
    (root / "link.h5ad").symlink_to(outside / "secret.h5ad")
    (root / "linked").symlink_to(outside)
    (root / "inside.h5ad").symlink_to(root / "a.h5ad")
    settings = Settings(home=root / "home", checkpoints=tmp_path / "runs", data_roots=(root, root / "b"))
    (settings.demo).mkdir()
    (settings.demo / "demo.h5ad").touch()
    expected = ["a.h5ad", "b/c.h5", "b/d.zarr", "1/2/3/4/deep.h5ad", "inside.h5ad", "home/demo/demo.h5ad"]
    files = list_data_files(settings)
    assert files == sorted(root / name for name in expected)
    assert all(check_allowed(path, settings) for path in files)


def test_the_number_of_files_is_bounded(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MAX_FILES", 3)
    for i in range(5):
        (tmp_path / f"{i}.h5ad").touch()
    assert len(list_data_files(settings)) == 3


def test_the_demo_is_allowed_wherever_the_workspace_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", checkpoints=tmp_path / "runs", data_roots=(tmp_path / "data",))
    assert check_allowed(settings.demo / "demo.h5ad", settings) == settings.demo / "demo.h5ad"


def test_listing_loads_no_reader() -> None:
    readers = {"anndata", "h5py", "zarr", "scipy", "pandas"}
    code = f"import sys, vccapp.data.workspace; print(sorted({readers} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_became_of_a_data_file_is_told_without_opening_it(tmp_path: Path, settings: Settings) -> None:
    path = saved(tmp_path)
    register(open_dataset(path), settings)
    (record,) = list_datasets(settings)
    assert source_fault(record) is None
    require_source(record.fingerprint, settings)
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    touched = source_fault(record)
    assert touched is not None and touched.code == "data_changed" and "written again" in touched.problem
    open_registered(record.fingerprint, settings)  # which asks its content, and notes that it is the same
    assert source_fault(record) is None
    path.write_bytes(path.read_bytes() + b"more")
    changed = source_fault(record)
    assert changed is not None and changed.code == "data_changed" and "size" in changed.problem
    require_source(record.fingerprint, settings)
    path.unlink()
    gone = source_fault(record)
    assert gone is not None and gone.code == "data_gone" and path.name in gone.problem
    with refusal(DataError, "data_gone"):
        require_source(record.fingerprint, settings)
