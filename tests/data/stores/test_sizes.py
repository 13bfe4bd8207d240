"""Sizes that a file declares are checked before anything is allocated; a bomb costs the process next to nothing."""

import resource
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.stores.access import Access
from vccapp.errors import DataError, ResourceError, VccAppError

HUGE = 2**31
CODES = {"size_declared", "memory", "shape_mismatch", "x_damaged", "label_too_long"}

Bomb = Callable[[h5py.File], None]
BOMBS: dict[str, Bomb] = {}


def bomb(change: Bomb) -> Bomb:
    BOMBS[change.__name__] = change
    return change


def declare(group: h5py.Group, name: str, n: int = HUGE, **about: object) -> None:
    """Declare n values where some were; none of them is written."""
    old = group[name]
    attrs, dtype = dict(old.attrs), old.dtype
    del group[name]
    group.create_dataset(name, (n,), dtype, chunks=(2**16,), **about).attrs.update(attrs)


@bomb
def obs_index(file: h5py.File) -> None:
    declare(file["obs"], file["obs"].attrs["_index"])


@bomb
def var_index(file: h5py.File) -> None:
    declare(file["var"], file["var"].attrs["_index"])


@bomb
def categories(file: h5py.File) -> None:
    declare(file["obs/target_gene"], "categories")


@bomb
def row_pointers(file: h5py.File) -> None:
    declare(file["X"], "indptr")


@bomb
def gzipped_pointers(file: h5py.File) -> None:
    declare(file["X"], "indptr", compression="gzip")
    file["X"].attrs["shape"] = np.array([HUGE - 1, 40])


@bomb
def all_that_agree(file: h5py.File) -> None:
    declare(file["obs"], file["obs"].attrs["_index"])
    for column in ("target_gene", "guide_id", "batch"):
        declare(file["obs"][column], "codes")
    declare(file["X"], "indptr", HUGE + 1)
    file["X"].attrs["shape"] = np.array([HUGE, 40])


@bomb
def long_texts_of_fixed_length(file: h5py.File) -> None:
    attrs, index = dict(file["obs"][file["obs"].attrs["_index"]].attrs), file["obs"].attrs["_index"]
    del file["obs"][index]
    file["obs"].create_dataset(index, (120,), "S100000000", chunks=(1,)).attrs.update(attrs)


@bomb
def one_chunk_of_everything(file: h5py.File) -> None:
    attrs, n = dict(file["X/data"].attrs), file["X/data"].shape[0]
    values = file["X/data"][:]
    del file["X/data"]
    made = file["X"].create_dataset("data", (n,), "f4", chunks=(2**29,), maxshape=(None,), compression="gzip")
    made.attrs.update(attrs)
    del values


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    make_counts(n_cells=120, n_genes=40).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        BOMBS[name](file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(VccAppError) as caught:
        open_dataset(path, access=Access(memory_bytes=10**9))
    assert caught.value.code in CODES
    assert len(str(caught.value)) < 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_codes_of_another_length_leave_out_their_column(tmp_path: Path) -> None:
    """Of no use: named. The perturbations: refused, with the reason."""
    path = tmp_path / "cells.h5ad"
    make_counts(n_cells=120, n_genes=40).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        declare(file["obs/guide_id"], "codes")
    assert any("'guide_id' has 2,147,483,648 values for 120 rows" in note for note in open_dataset(path).schema.notes)
    with h5py.File(path, "r+") as file:
        declare(file["obs/target_gene"], "codes")
    with pytest.raises(DataError, match="values for 120 rows"):
        open_dataset(path)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_long_labels(suffix: str, tmp_path: Path) -> None:
    data = make_counts(n_cells=120, n_genes=40)
    data.obs["target_gene"] = (
        data.obs["target_gene"].astype(str).replace("non-targeting", "n" * 10**6).astype("category")
    )
    path = tmp_path / f"cells{suffix}"
    data.write_zarr(path) if suffix == ".zarr" else data.write_h5ad(path)
    with pytest.raises(DataError, match="1,000,000 characters") as caught:
        open_dataset(path)
    assert len(str(caught.value)) < 300


@pytest.mark.slow
def test_memory_of_the_settings_holds_for_reading(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    rng = np.random.default_rng(0)
    data = ad.AnnData(np.zeros((2 * 10**6, 1), np.float32))
    data.obs["target_gene"] = rng.choice(["A", "non-targeting"], data.n_obs)
    data.write_h5ad(path)
    with pytest.raises(ResourceError) as caught:
        open_dataset(path, access=Access(memory_bytes=10**8))
    assert caught.value.code == "memory"
    assert "VCCAPP_MEMORY_GB" in str(caught.value)
