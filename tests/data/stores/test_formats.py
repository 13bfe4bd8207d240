"""Files as people have them are read to the same cells, genes and labels, whatever wrote them."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import hdf5plugin
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from refusals import refusal
from scipy.io import mmwrite
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.stores.access import Access
from vccapp.errors import DataError

TOY = make_counts(n_cells=120, n_genes=40)
COLUMNS = ("target_gene", "guide_id", "batch")
WAYS: dict[str, Callable[[Path], Path]] = {}


def way(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    WAYS[write.__name__] = write
    return write


def compound(path: Path, *, sparse: bool) -> Path:
    """As anndata 0.5 (dense) and 0.6 (h5sparse) wrote: tables of records, categories in uns."""
    with h5py.File(path, "w") as file:
        if sparse:
            group = file.create_group("X")
            group.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": np.array(TOY.shape)})
            group["data"], group["indices"], group["indptr"] = TOY.X.data, TOY.X.indices, TOY.X.indptr
        else:
            file["X"] = TOY.X.toarray()
        obs = np.zeros(TOY.n_obs, [("index", "S16"), *((column, "i1") for column in COLUMNS), ("n_counts", "f4")])
        obs["index"] = [name.encode() for name in TOY.obs_names]
        for column in COLUMNS:
            labels = pd.Categorical(TOY.obs[column])
            obs[column] = labels.codes
            file[f"uns/{column}_categories"] = np.array([name.encode() for name in labels.categories])
        file["obs"] = obs
        var = np.zeros(TOY.n_vars, [("index", "S16"), ("n_cells", "i4")])
        var["index"] = [name.encode() for name in TOY.var_names]
        file["var"] = var
    return path


@way
def anndata_05(folder: Path) -> Path:
    return compound(folder / "cells.h5ad", sparse=False)


@way
def anndata_06(folder: Path) -> Path:
    return compound(folder / "cells.h5ad", sparse=True)


@way
def anndata_07(folder: Path) -> Path:
    """Codes with a reference to their categories."""
    path = folder / "cells.h5ad"
    TOY.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["obs"].attrs["encoding-version"] = "0.1.0"
        for column in COLUMNS:
            labels = pd.Categorical(TOY.obs[column])
            del file["obs"][column]
            file[f"obs/__categories/{column}"] = np.array(list(labels.categories), dtype=h5py.string_dtype())
            file[f"obs/__categories/{column}"].attrs["ordered"] = False
            file["obs"][column] = labels.codes
            file["obs"][column].attrs["categories"] = file[f"obs/__categories/{column}"].ref
    return path


def zstd(path: Path, groups: tuple[str, ...]) -> Path:
    TOY.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        arrays: list[str] = []
        file.visititems(lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in arrays:
            if name.startswith(groups) and file[name].shape:
                values, attrs = file[name][()], dict(file[name].attrs)
                dtype = file[name].dtype
                del file[name]
                chunks = (min(50, len(values)),)
                made = file.create_dataset(name, data=values, dtype=dtype, chunks=chunks, **hdf5plugin.Zstd())
                made.attrs.update(attrs)
    return path


@way
def zstd_in_obs_alone(folder: Path) -> Path:
    return zstd(folder / "cells.h5ad", ("obs",))


@way
def zstd_everywhere(folder: Path) -> Path:
    return zstd(folder / "cells.h5ad", ("obs", "var", "X"))


@way
def plain_hdf5_named_gz(folder: Path) -> Path:
    TOY.write_h5ad(folder / "cells.h5ad")
    return (folder / "cells.h5ad").rename(folder / "cells.h5ad.gz")


@way
def capital_suffix(folder: Path) -> Path:
    TOY.write_h5ad(folder / "cells.h5ad")
    return (folder / "cells.h5ad").rename(folder / "CELLS.H5AD")


def mudata(path: Path, modalities: dict[str, ad.AnnData]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "MuData"
        group = file.create_group("mod")
        for name, data in modalities.items():
            write_elem(group, name, data)
        write_elem(file, "obs", TOY.obs)
        write_elem(file, "var", TOY.var)
    return path


@way
def mudata_with_rna(folder: Path) -> Path:
    return mudata(folder / "cells.h5mu", {"adt": TOY[:, :5].copy(), "rna": TOY})


@way
def mudata_and_modality(folder: Path) -> Path:
    return mudata(folder / "cells.h5mu", {"one": TOY[:, :5].copy(), "two": TOY}) / "two"


@way
def mudata_saved_as_h5ad(folder: Path) -> Path:
    return mudata(folder / "cells.h5ad", {"gex": TOY})


@way
def loom(folder: Path) -> Path:
    path = folder / "cells.loom"
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=TOY.X.toarray().T, chunks=(16, 16), compression="gzip")
        file["row_attrs/Gene"] = np.array(list(TOY.var_names), dtype=object)
        file["col_attrs/CellID"] = np.array(list(TOY.obs_names), dtype=object)
        for column in COLUMNS:
            file[f"col_attrs/{column}"] = np.array(TOY.obs[column].astype(str).tolist(), dtype=object)
        file.create_group("layers")
    return path


@way
def mtx_folder(folder: Path) -> Path:
    place = folder / "filtered_feature_bc_matrix"
    place.mkdir()
    mmwrite(place / "matrix.mtx", TOY.X.T.astype(int))
    for name, lines in {
        "features.tsv": [f"ENSG{i:011d}\t{gene}\tGene Expression" for i, gene in enumerate(TOY.var_names)],
        "barcodes.tsv": list(TOY.obs_names),
    }.items():
        (place / f"{name}.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    TOY.obs.rename_axis("cell_barcode").to_csv(place / "cell_identities.csv")
    return place


@way
def tenx_h5(folder: Path) -> Path:
    path = folder / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array(TOY.shape[::-1], np.int32)
        group["data"], group["indices"] = TOY.X.data.astype(np.int32), TOY.X.indices.astype(np.int64)
        group["indptr"] = TOY.X.indptr.astype(np.int64)
        group["barcodes"] = np.array(TOY.obs_names, "S")
        group["features/id"] = np.array([f"ENSG{i:011d}" for i in range(TOY.n_vars)], "S")
        group["features/name"] = np.array(TOY.var_names, "S")
        group["features/feature_type"] = np.array(["Gene Expression"] * TOY.n_vars, "S")
    TOY.obs.rename_axis("cell_barcode").to_csv(folder / "cell_identities.csv")
    return path


@pytest.mark.parametrize("name", WAYS)
def test_the_same_cells(name: str, tmp_path: Path) -> None:
    path = WAYS[name](tmp_path)
    dataset = open_dataset(path, access=Access(cache=tmp_path / "cache"))
    np.testing.assert_array_equal(dataset.read_rows(range(TOY.n_obs)).toarray(), TOY.X.toarray())
    assert dataset.genes.tolist() == list(TOY.var_names)
    assert dataset.schema.path == path
    for role, column in zip(("perturbation", "guide", "batch"), COLUMNS, strict=True):
        assert dataset.cells[role].astype(str).tolist() == TOY.obs[column].astype(str).tolist()
    assert len(dataset.fingerprint) == 16


def test_a_copy_is_made_once(tmp_path: Path) -> None:
    path, access = loom(tmp_path), Access(cache=tmp_path / "cache")
    first = open_dataset(path, access=access)
    [copy] = (tmp_path / "cache").rglob("*.h5ad")
    made = copy.stat().st_mtime_ns
    assert open_dataset(path, access=access).fingerprint == first.fingerprint
    assert copy.stat().st_mtime_ns == made


def test_modalities_are_named(tmp_path: Path) -> None:
    path = mudata(tmp_path / "cells.h5mu", {"one": TOY, "two": TOY})
    with refusal(DataError, "modality") as caught:
        open_dataset(path)
    assert "one, two" in str(caught.value)
    with refusal(DataError, "no_modality"):
        open_dataset(path / "three")


def test_columns_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    data = TOY.copy()
    data.obs["extra"], data.obs["name"] = 1.0, "x"
    data.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["obs/extra"].attrs["encoding-type"] = "from-the-future"
        attrs = dict(file["obs/name/categories"].attrs)
        del file["obs/name/categories"]
        file["obs/name/categories"] = np.array([b"caf\xe9"], dtype=h5py.string_dtype())
        file["obs/name/categories"].attrs.update(attrs)
        order = [*file["obs"].attrs["column-order"], "batch"]
        file["obs"].attrs["column-order"] = order
    dataset = open_dataset(path)
    notes = " ".join(dataset.schema.notes)
    assert "'extra' is stored as 'from-the-future'" in notes
    assert "'batch' is there twice" in notes
    assert "'name' holds text that is not UTF-8" in notes
    assert dataset.obs_columns[:3] == COLUMNS
    with h5py.File(path, "r+") as file:
        file["obs/target_gene"].attrs["encoding-type"] = "from-the-future"
    with refusal(DataError, "column_unreadable") as caught:
        open_dataset(path)
    assert "target_gene" in str(caught.value)


@pytest.mark.slow
def test_zarr_columns_that_differ_by_case(tmp_path: Path) -> None:
    data = TOY.copy()
    data.obs["Batch"] = data.obs["batch"].to_numpy()
    for version in (2, 3):
        with ad.settings.override(zarr_write_format=version):
            data.write_zarr(tmp_path / f"v{version}.zarr")
        assert open_dataset(tmp_path / f"v{version}.zarr").obs_columns == (*COLUMNS, "Batch")


def test_texts_of_another_encoding(tmp_path: Path) -> None:
    """Latin-1 is no damage."""
    path = tmp_path / "cells.h5ad"
    TOY.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        attrs = dict(file["var/_index"].attrs)
        del file["var/_index"]
        made = file["var"].create_dataset("_index", data=np.array([b"G\xe9"] * TOY.n_vars, dtype=h5py.string_dtype()))
        made.attrs.update(attrs)
    with refusal(DataError, "not_utf8") as caught:
        open_dataset(path)
    assert "copy it again" not in str(caught.value)


def test_really_gzipped(tmp_path: Path) -> None:
    TOY.write_h5ad(tmp_path / "cells.h5ad")
    with (tmp_path / "cells.h5ad").open("rb") as plain, gzip.open(tmp_path / "cells.h5ad.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    with refusal(DataError, "gzipped"):
        open_dataset(tmp_path / "cells.h5ad.gz")
