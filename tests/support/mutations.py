"""Submissions of toy cells with one thing wrong each, as files: what tools and people do to an .h5ad.

for name, mutate in MUTATIONS.items():
    write_submission(path)
    mutate(path)
"""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from vccapp.data.h5ad import CsrWriter

CONTROL = "non-targeting"
GENES = [f"G{i}" for i in range(40)]
CELLS = {CONTROL: 60, "G1": 30, "G2": 40, "G3": 20}
DEPTH = 180
"""What each cell sums to."""

Mutation = Callable[[Path], None]


def make_cells() -> dict[str, np.ndarray]:
    """Dense log1p cells per label; each perturbation knocks its gene down and shifts others of its own."""
    rng = np.random.default_rng(0)
    cells = {}
    for i, (label, n) in enumerate(CELLS.items()):
        level = np.linspace(1, 8, len(GENES))
        if label != CONTROL:
            level[GENES.index(label)] *= 0.2
            level[10 + 5 * i : 15 + 5 * i] *= 1.6
        counts = rng.poisson(level, (n, len(GENES))).astype(np.float32)
        cells[label] = np.log1p(counts * DEPTH / counts.sum(axis=1, keepdims=True))
    return cells


def write_submission(path: Path) -> None:
    """A good one."""
    with CsrWriter(path, genes=GENES, pert_col="target_gene") as writer:
        for label, dense in make_cells().items():
            writer.append(sp.csr_matrix(dense.astype(np.float32)), label)


def adata_changed(change: Callable[[ad.AnnData], ad.AnnData | None], **options) -> Mutation:
    """Read by anndata, changed in place or replaced, and written again."""

    def mutate(path: Path) -> None:
        adata = ad.read_h5ad(path)
        adata = change(adata) or adata
        adata.write_h5ad(path, **options)

    return mutate


def file_changed(change: Callable[[h5py.File], object]) -> Mutation:
    """Changed as HDF5."""

    def mutate(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return mutate


def values_changed(change: Callable[[np.ndarray], np.ndarray]) -> Mutation:
    """Dense values changed, stored as CSR float32."""

    def apply(adata: ad.AnnData) -> None:
        adata.X = sp.csr_matrix(change(adata.X.toarray()).astype(np.float32))

    return adata_changed(apply)


def matrix_changed(convert: Callable[[sp.csr_matrix], object]) -> Mutation:
    def apply(adata: ad.AnnData) -> None:
        adata.X = convert(adata.X)

    return adata_changed(apply)


def labels_changed(change: Callable[[list[str]], list]) -> Mutation:
    return obs_changed(
        lambda obs: obs.assign(target_gene=pd.Categorical(change(obs["target_gene"].astype(str).tolist())))
    )


def obs_changed(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Mutation:
    def apply(adata: ad.AnnData) -> None:
        adata.obs = change(adata.obs)

    return adata_changed(apply)


def genes_changed(change: Callable[[list[str]], list[str]]) -> Mutation:
    def apply(adata: ad.AnnData) -> None:
        adata.var_names = pd.Index(change(adata.var_names.tolist()), dtype=object)

    return adata_changed(apply)


def replaced(name: str, convert: Callable[[np.ndarray], np.ndarray], **options) -> Mutation:
    """The array `name` stored again, with its attributes."""

    def change(file: h5py.File) -> None:
        kept, attributes = file[name][()], dict(file[name].attrs)
        del file[name]
        again = file.create_dataset(name, data=convert(kept), **options)
        again.attrs.update(attributes)

    return file_changed(change)


def dense_stored(dtype: str) -> Mutation:
    """X as a dense array of that type, written past anndata."""

    def change(file: h5py.File) -> None:
        x = file["X"]
        dense = sp.csr_matrix((x["data"][()], x["indices"][()], x["indptr"][()]), shape=x.attrs["shape"]).toarray()
        del file["X"]
        file["X"] = dense.astype(dtype)
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

    return file_changed(change)


def put(value: float, *, at: int = 70) -> Mutation:
    def change(dense: np.ndarray) -> np.ndarray:
        dense[at, 5] = value
        return dense

    return values_changed(change)


def both(first: Mutation, second: Mutation) -> Mutation:
    def mutate(path: Path) -> None:
        first(path)
        second(path)

    return mutate


def without(*names: str) -> Mutation:
    """Attributes taken away: 'X:shape' is `shape` of X, ':encoding-type' that of the file."""

    def change(file: h5py.File) -> None:
        for name in names:
            where, attribute = name.split(":")
            del file[where or "/"].attrs[attribute]

    return file_changed(change)


def set_attribute(where: str, name: str, value: object) -> Mutation:
    return file_changed(lambda file: file[where].attrs.__setitem__(name, value))


def _unknown_in_uns(file: h5py.File) -> None:
    file["uns/odd"] = np.arange(3)
    file["uns/odd"].attrs.update({"encoding-type": "something-new", "encoding-version": "0.1.0"})


def _explicit_zeros(x: sp.csr_matrix) -> sp.csr_matrix:
    x = x.copy()
    x.data[::7] = 0
    return x


def _unsorted(x: sp.csr_matrix) -> sp.csr_matrix:
    x = x.copy()
    for start, stop in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        x.indices[start:stop], x.data[start:stop] = x.indices[start:stop][::-1].copy(), x.data[start:stop][::-1].copy()
    x.has_sorted_indices = False
    return x


def _compressed(filter_of: Callable[[], dict]) -> Mutation:
    def mutate(path: Path) -> None:
        adata = ad.read_h5ad(path)
        adata.write_h5ad(path, **filter_of())

    return mutate


def _zstd() -> dict:
    import hdf5plugin

    return {"compression": hdf5plugin.FILTERS["zstd"]}


def _of(labels: list[str], old: str, new: object) -> list:
    return [new if label == old else label for label in labels]


MUTATIONS: dict[str, Mutation] = {
    "none": lambda path: None,
    # how X is stored
    "float64": matrix_changed(lambda x: x.astype(np.float64)),
    "float16": replaced("X/data", lambda data: data.astype("f2")),
    "big_endian": replaced("X/data", lambda data: data.astype(">f4")),
    "big_endian_float64": replaced("X/data", lambda data: data.astype(">f8")),
    "big_endian_indices": replaced("X/indices", lambda indices: indices.astype(">i4")),
    "dense": matrix_changed(lambda x: x.toarray()),
    "dense_float64": dense_stored("f8"),
    "dense_float16": dense_stored("f2"),
    "dense_big_endian": dense_stored(">f4"),
    "dense_int": dense_stored("i4"),
    "dense_bool": dense_stored("?"),
    "csc": matrix_changed(sp.csc_matrix),
    "csc_float16": both(matrix_changed(sp.csc_matrix), replaced("X/data", lambda data: data.astype("f2"))),
    "csc_nan": both(put(np.nan), matrix_changed(sp.csc_matrix)),
    "zstd": _compressed(_zstd),
    "gzip": _compressed(lambda: {"compression": "gzip"}),
    "lzf": _compressed(lambda: {"compression": "lzf"}),
    "int32": replaced("X/data", lambda data: np.rint(data).astype("i4")),
    "bool": replaced("X/data", lambda data: data > 0),
    "complex": replaced("X/data", lambda data: data.astype("c8")),
    "text": replaced("X/data", lambda data: data.astype("S8")),
    "explicit_zeros": matrix_changed(_explicit_zeros),
    "unsorted": matrix_changed(_unsorted),
    "int64_indices": replaced("X/indices", lambda indices: indices.astype("i8")),
    "uint64_indptr": replaced("X/indptr", lambda indptr: indptr.astype("u8")),
    "int16_indices": replaced("X/indices", lambda indices: indices.astype("i2")),
    "index_too_large": replaced("X/indices", lambda indices: np.where(np.arange(len(indices)) == 50, 40, indices)),
    "index_negative": replaced("X/indices", lambda indices: np.where(np.arange(len(indices)) == 50, -1, indices)),
    "indptr_decreasing": replaced("X/indptr", lambda ends: np.where(np.arange(len(ends)) == 20, 0, ends)),
    "indptr_too_long": replaced("X/indptr", lambda ends: np.append(ends, ends[-1])),
    "indptr_past_the_end": replaced("X/indptr", lambda ends: np.append(ends[:-1], 10**7)),
    "fewer_indices": replaced("X/indices", lambda indices: indices[:-3]),
    "data_2d": replaced("X/data", lambda data: data[: len(data) // 2 * 2].reshape(2, -1)),
    "no_data": file_changed(lambda file: file["X"].__delitem__("data")),
    "no_indices": file_changed(lambda file: file["X"].__delitem__("indices")),
    "no_x": file_changed(lambda file: file.__delitem__("X")),
    "no_obs": file_changed(lambda file: file.__delitem__("obs")),
    "no_var": file_changed(lambda file: file.__delitem__("var")),
    "shape_too_large": set_attribute("X", "shape", np.array([150, 41])),
    "shape_too_small": set_attribute("X", "shape", np.array([149, 40])),
    "no_shape": without("X:shape"),
    # encodings
    "root_without_type": without(":encoding-type"),
    "root_without_version": without(":encoding-version"),
    "root_without_both": without(":encoding-type", ":encoding-version"),
    "root_type_wrong": set_attribute("/", "encoding-type", "mudata"),
    "root_version_unknown": set_attribute("/", "encoding-version", "9.9.9"),
    "x_without_type": without("X:encoding-type"),
    "x_without_version": without("X:encoding-version"),
    "x_version_unknown": set_attribute("X", "encoding-version", "9.9.9"),
    "x_type_unknown": set_attribute("X", "encoding-type", "csr_matrix_new"),
    "obs_without_version": without("obs:encoding-version"),
    "obs_without_type": without("obs:encoding-type"),
    "var_without_type": without("var:encoding-type"),
    "column_without_type": without("obs/target_gene:encoding-type"),
    "column_version_unknown": set_attribute("obs/target_gene", "encoding-version", "9.9.9"),
    "unknown_in_uns": file_changed(_unknown_in_uns),
    "unknown_in_layers": file_changed(
        lambda file: file["layers"].create_dataset("odd", data=np.zeros(3)).attrs.update({"encoding-type": "odd"})
    ),
    "obsm_of_other_length": file_changed(
        lambda file: (
            file["obsm"]
            .create_dataset("X_pca", data=np.zeros((3, 2)))
            .attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        )
    ),
    "no_uns": file_changed(lambda file: file.__delitem__("uns")),
    "no_layers": file_changed(lambda file: file.__delitem__("layers")),
    "extra_group": file_changed(lambda file: file.create_group("something")),
    # values
    "nan": put(np.nan),
    "nan_in_control": put(np.nan, at=3),
    "infinite": put(np.inf),
    "minus_infinite": put(-np.inf),
    "negative": put(-0.5),
    "fifteen": put(15.0),
    "huge": put(1e30),
    "counts": values_changed(lambda x: np.rint(np.expm1(x))),
    "cpm": values_changed(lambda x: np.expm1(x) / DEPTH * 1e6),
    "rounded": values_changed(np.rint),
    "one_decimal": values_changed(lambda x: np.round(x, 1)),
    "all_zero": values_changed(lambda x: x * 0),
    "one_empty_cell": values_changed(lambda x: x * (np.arange(len(x)) != 70)[:, None]),
    # labels and genes
    "no_column": obs_changed(lambda obs: obs.drop(columns="target_gene")),
    "column_renamed": obs_changed(lambda obs: obs.rename(columns={"target_gene": "gene"})),
    "labels_missing": labels_changed(lambda labels: _of(labels, "G3", None)),
    "labels_empty": labels_changed(lambda labels: _of(labels, "G3", "")),
    "labels_blank": labels_changed(lambda labels: _of(labels, "G3", "  ")),
    "label_unknown": labels_changed(lambda labels: _of(labels, "G3", "NOTAGENE")),
    "label_lower": labels_changed(lambda labels: _of(labels, "G3", "g3")),
    "label_date": labels_changed(lambda labels: _of(labels, "G3", "1-Mar")),
    "label_zero_width": labels_changed(lambda labels: _of(labels, "G3", "G3\u200b")),
    "label_newline": labels_changed(lambda labels: _of(labels, "G3", "G3\n")),
    "label_path": labels_changed(lambda labels: _of(labels, "G3", "../../etc/passwd")),
    "label_integers": labels_changed(lambda labels: [int(label != CONTROL) for label in labels]),
    "labels_plain_text": obs_changed(lambda obs: obs.assign(target_gene=obs["target_gene"].astype(str))),
    "control_renamed": labels_changed(lambda labels: _of(labels, CONTROL, "NTC")),
    "no_control": adata_changed(lambda a: a[a.obs["target_gene"] != CONTROL].copy()),
    "one_control": adata_changed(lambda a: a[59:].copy()),
    "a_perturbation_missing": adata_changed(lambda a: a[a.obs["target_gene"] != "G3"].copy()),
    "genes_swapped": genes_changed(lambda genes: [genes[1], genes[0], *genes[2:]]),
    "columns_reversed": adata_changed(lambda a: a[:, ::-1].copy()),
    "gene_missing": adata_changed(lambda a: a[:, :-1].copy()),
    "gene_unknown": genes_changed(lambda genes: [*genes[:-1], "ODD"]),
    "gene_empty": genes_changed(lambda genes: [*genes[:-1], ""]),
    "gene_twice": genes_changed(lambda genes: [*genes[:-1], genes[0]]),
    "gene_lower": genes_changed(lambda genes: [gene.lower() for gene in genes]),
    "gene_version": genes_changed(lambda genes: [f"{gene}.1" for gene in genes]),
    "cell_names_twice": obs_changed(lambda obs: obs.set_axis(["same"] * len(obs))),
    # the file
    "empty_file": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "text_file": lambda path: path.write_text("target_gene\n"),
    "zeroed_block": lambda path: path.write_bytes(path.read_bytes()[:2000] + bytes(3000) + path.read_bytes()[5000:]),
}
