"""Data files that nobody can use, by name: `BAD_INPUTS[name](folder)` writes one and returns (path, columns).

What is wrong is in the name; each must be refused with one clear sentence wherever a data file is taken.
"""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.data.schema import Columns

Builder = Callable[[Path], tuple[Path, Columns]]
BAD_INPUTS: dict[str, Builder] = {}


def bad(builder: Callable[[Path], Path | tuple[Path, Columns]]) -> Builder:
    def build(folder: Path) -> tuple[Path, Columns]:
        made = builder(folder)
        return made if isinstance(made, tuple) else (made, Columns())

    BAD_INPUTS[builder.__name__] = build
    return build


def saved(folder: Path, change: Callable[[ad.AnnData], ad.AnnData | None] = lambda data: None) -> Path:
    """A good toy file, changed."""
    data = make_counts(n_cells=120, n_genes=40)
    changed = change(data)
    path = folder / "cells.h5ad"
    (data if changed is None else changed).write_h5ad(path)
    return path


def damaged(folder: Path, change: Callable[[h5py.File], None]) -> Path:
    """A good toy file, changed in place."""
    path = saved(folder)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def of_values(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A toy file with other values in X: `change` takes and gives cells x genes."""

    def put(data: ad.AnnData) -> None:
        data.X = csr_matrix(change(data.X.toarray()).astype(np.float32))

    return saved(folder, put)


def replace(group: h5py.Group, name: str, values: np.ndarray) -> None:
    attrs = dict(group[name].attrs)
    del group[name]
    group[name] = values
    group[name].attrs.update(attrs)


@bad
def missing_path(folder: Path) -> Path:
    return folder / "nowhere.h5ad"


@bad
def dangling_link(folder: Path) -> Path:
    (folder / "cells.h5ad").symlink_to(folder / "nowhere.h5ad")
    return folder / "cells.h5ad"


@bad
def empty_file(folder: Path) -> Path:
    (folder / "cells.h5ad").touch()
    return folder / "cells.h5ad"


@bad
def truncated_h5ad(folder: Path) -> Path:
    path = saved(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@bad
def damaged_chunk(folder: Path) -> Path:
    """The file opens, but a compressed block of X does not inflate."""
    path = folder / "cells.h5ad"
    make_counts(n_cells=120, n_genes=40).write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    return path


@bad
def folder_named_h5ad(folder: Path) -> Path:
    (folder / "cells.h5ad").mkdir()
    return folder / "cells.h5ad"


@bad
def folder_of_files(folder: Path) -> Path:
    (folder / "cells").mkdir()
    return folder / "cells"


@bad
def pickle_named_h5ad(folder: Path) -> Path:
    (folder / "cells.h5ad").write_bytes(pickle.dumps({"X": [1, 2, 3]}))
    return folder / "cells.h5ad"


@bad
def text_named_h5ad(folder: Path) -> Path:
    (folder / "cells.h5ad").write_text("gene,count\nACTB,3\n")
    return folder / "cells.h5ad"


@bad
def csv_file(folder: Path) -> Path:
    (folder / "cells.csv").write_text("gene,count\nACTB,3\n")
    return folder / "cells.csv"


@bad
def rds_file(folder: Path) -> Path:
    (folder / "cells.rds").write_bytes(b"RDX3\n" + bytes(100))
    return folder / "cells.rds"


@bad
def gzipped_h5ad(folder: Path) -> Path:
    path = saved(folder)
    (folder / "cells.h5ad.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return folder / "cells.h5ad.gz"


@bad
def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "cells.h5ad")
    return folder / "cells.h5ad"


@bad
def hdf5_that_is_no_anndata(folder: Path) -> Path:
    with h5py.File(folder / "matrix.h5", "w") as file:
        file["matrix/data"] = np.arange(3)
    return folder / "matrix.h5"


@bad
def no_x(folder: Path) -> Path:
    return damaged(folder, lambda file: file.__delitem__("X"))


@bad
def no_obs(folder: Path) -> Path:
    return damaged(folder, lambda file: file.__delitem__("obs"))


@bad
def obs_of_an_array(folder: Path) -> Path:
    def change(file: h5py.File) -> None:
        del file["obs"]
        file["obs"] = np.zeros((120, 2))

    return damaged(folder, change)


@bad
def obs_index_only(folder: Path) -> Path:
    return saved(folder, lambda data: ad.AnnData(data.X, obs=data.obs[[]], var=data.var))


@bad
def obs_without_labels(folder: Path) -> Path:
    def change(data: ad.AnnData) -> ad.AnnData:
        obs = pd.DataFrame({"n_counts": np.linspace(0, 1, data.n_obs), "phase": "G1"}, index=data.obs_names)
        return ad.AnnData(data.X, obs=obs, var=data.var)

    return saved(folder, change)


@bad
def two_candidate_columns(folder: Path) -> Path:
    def change(data: ad.AnnData) -> None:
        data.obs = data.obs.rename(columns={"target_gene": "arm"})
        data.obs["treated"] = data.obs["arm"]

    return saved(folder, change)


@bad
def zero_cells(folder: Path) -> Path:
    return saved(folder, lambda data: data[:0].copy())


@bad
def zero_genes(folder: Path) -> Path:
    return saved(folder, lambda data: data[:, :0].copy())


@bad
def shape_not_of_obs(folder: Path) -> Path:
    def change(file: h5py.File) -> None:
        x = file["X"]
        x.attrs["shape"] = np.array([119, 40])
        end = int(x["indptr"][119])
        for name, values in (("indptr", x["indptr"][:120]), ("data", x["data"][:end]), ("indices", x["indices"][:end])):
            replace(x, name, values)

    return damaged(folder, change)


@bad
def shape_not_of_var(folder: Path) -> Path:
    return damaged(folder, lambda file: file["X"].attrs.__setitem__("shape", np.array([120, 41])))


@bad
def pointers_that_fall(folder: Path) -> Path:
    def change(file: h5py.File) -> None:
        file["X/indptr"][5] = file["X/indptr"][50]

    return damaged(folder, change)


@bad
def too_few_pointers(folder: Path) -> Path:
    return damaged(folder, lambda file: replace(file["X"], "indptr", file["X/indptr"][:-1]))


@bad
def indices_out_of_range(folder: Path) -> Path:
    return damaged(folder, lambda file: file["X/indices"].__setitem__(7, 40))


@bad
def negative_indices(folder: Path) -> Path:
    return damaged(folder, lambda file: file["X/indices"].__setitem__(7, -1))


@bad
def fewer_indices_than_values(folder: Path) -> Path:
    return damaged(folder, lambda file: replace(file["X"], "indices", file["X/indices"][:-1]))


@bad
def no_indices(folder: Path) -> Path:
    return damaged(folder, lambda file: file["X"].__delitem__("indices"))


@bad
def unknown_sparse_format(folder: Path) -> Path:
    return damaged(folder, lambda file: file["X"].attrs.__setitem__("encoding-type", "coo_matrix"))


@bad
def text_in_x(folder: Path) -> Path:
    def change(file: h5py.File) -> None:
        del file["X"]
        file["X"] = np.full((120, 40), b"three")

    return damaged(folder, change)


@bad
def x_of_one_dimension(folder: Path) -> Path:
    def change(file: h5py.File) -> None:
        del file["X"]
        file["X"] = np.ones(120)

    return damaged(folder, change)


@bad
def x_of_zeros(folder: Path) -> Path:
    return of_values(folder, np.zeros_like)


@bad
def nan_values(folder: Path) -> Path:
    return of_values(folder, lambda x: np.where(x == x.max(), np.nan, x))


@bad
def infinite_values(folder: Path) -> Path:
    return of_values(folder, lambda x: np.where(x == x.max(), np.inf, x))


@bad
def negative_counts(folder: Path) -> Path:
    return of_values(folder, lambda x: np.where(x == x.max(), -3, x))


@bad
def rounded_log_values(folder: Path) -> Path:
    def change(x: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(0)
        return np.rint(np.log1p(rng.poisson(np.geomspace(1, 500, x.shape[1]) * rng.lognormal(0, 0.5, (len(x), 1)))))

    return of_values(folder, change)


@bad
def genes_without_names(folder: Path) -> Path:
    def change(data: ad.AnnData) -> None:
        data.var_names = ["", *data.var_names[1:]]

    return saved(folder, change)


@bad
def no_control(folder: Path) -> Path:
    return saved(folder, lambda data: data[data.obs.target_gene != "non-targeting"].copy())


@bad
def only_controls(folder: Path) -> Path:
    return saved(folder, lambda data: data[data.obs.target_gene == "non-targeting"].copy())


@bad
def no_labels_at_all(folder: Path) -> tuple[Path, Columns]:
    def change(data: ad.AnnData) -> None:
        data.obs["target_gene"] = pd.Categorical([None] * data.n_obs, categories=["non-targeting", "A"])

    return saved(folder, change), Columns(perturbation="target_gene")


@bad
def unknown_perturbation_column(folder: Path) -> tuple[Path, Columns]:
    return saved(folder), Columns(perturbation="knockdown")


@bad
def unknown_guide_column(folder: Path) -> tuple[Path, Columns]:
    return saved(folder), Columns(guide="sgRNA_of_nobody")


@bad
def unknown_batch_column(folder: Path) -> tuple[Path, Columns]:
    return saved(folder), Columns(batch="lane_of_nobody")


@bad
def control_not_among_labels(folder: Path) -> tuple[Path, Columns]:
    return saved(folder), Columns(control="NTC")


@bad
def control_not_in_chosen_column(folder: Path) -> tuple[Path, Columns]:
    return saved(folder), Columns(perturbation="batch", control="non-targeting")


@bad
def measured_column_as_perturbation(folder: Path) -> tuple[Path, Columns]:
    def change(data: ad.AnnData) -> None:
        data.obs["score"] = np.linspace(0, 1, data.n_obs)

    return saved(folder, change), Columns(perturbation="score")


@bad
def zarr_without_x(folder: Path) -> Path:
    make_counts(n_cells=120, n_genes=40).write_zarr(folder / "cells.zarr")
    del zarr.open_group(folder / "cells.zarr", mode="r+")["X"]
    return folder / "cells.zarr"


@bad
def zarr_folder_empty(folder: Path) -> Path:
    (folder / "cells.zarr").mkdir()
    return folder / "cells.zarr"


@bad
def zarr_that_is_a_file(folder: Path) -> Path:
    return saved(folder).rename(folder / "cells.zarr")


@bad
def zarr_with_a_damaged_chunk(folder: Path) -> Path:
    make_counts(n_cells=120, n_genes=40).write_zarr(folder / "cells.zarr")
    for chunk in (folder / "cells.zarr" / "X" / "data").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith(("zarr", ".z")):
            chunk.write_bytes(b"\xff\x00" * 20)
    return folder / "cells.zarr"
