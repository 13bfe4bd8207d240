"""Opening a data file: obs, var, the row pointers and a sample of X are read and checked, never all of X."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.reading.columns import find_cells, find_genes
from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.files import open_store, reading
from vccapp.data.reading.joined import JoinedDataset
from vccapp.data.reading.matrix import open_rows
from vccapp.data.reading.values import tell_values
from vccapp.data.schema import CONTROL, Columns, Schema
from vccapp.errors import DataError
from vccapp.wording import name_some

SUFFIXES = (".h5ad", ".h5", ".zarr")


def open_dataset(path: Path | str | Sequence[Path | str], *, columns: Columns | None = None) -> Dataset:
    """Open an .h5ad, .h5 or .zarr, or several of the same genes as one (see vccapp.data.reading.joined).

    Raises DataError, in one sentence, for anything that cannot be used.
    """
    if not isinstance(path, Path | str):
        paths = list(path)
        if len(paths) > 1:
            return JoinedDataset([open_dataset(one, columns=columns) for one in paths])
        (path,) = paths
    columns = columns or Columns()
    path = Path(path).expanduser().absolute()
    with reading(path):
        _check_path(path)
        obs, var, simulated = _read_tables(path)
        _check_shape(obs, var)
        rows = open_rows(path)
        if rows.shape != (len(obs), len(var)):
            raise DataError(
                "shape_mismatch",
                f"X is {rows.shape[0]:,} x {rows.shape[1]:,}, but obs has {len(obs):,} cells and var "
                f"{len(var):,} genes, so the file is damaged",
                fix="write it again",
            )
        cells = find_cells(obs, columns)
        genes, gene_kind, gene_notes = find_genes(var)
        space, evidence = tell_values(rows.sample(), rows.shape[1])
    counts = cells.table["perturbation"].value_counts()
    notes = [*cells.notes, *gene_notes, _note_targets(counts.index.drop(CONTROL), genes)]
    if space == "scaled":
        notes.append("X holds scaled values: they can be described, but statistics need counts or log1p values.")
    if rows.layout == "csc":
        notes.append(_note_csc(rows.scratch_bytes))
    schema = Schema(
        path=path,
        format="zarr" if path.suffix == ".zarr" else "h5ad",
        layout=rows.layout,
        n_cells=rows.shape[0],
        n_genes=rows.shape[1],
        n_values=None if rows.layout == "dense" else rows.n_values,
        dtype=rows.dtype,
        value_space=space,
        value_evidence=evidence,
        perturbation_column=cells.perturbation_column,
        guide_column=cells.guide_column,
        batch_column=cells.batch_column,
        control_label=cells.control_label,
        n_control_cells=int(counts[CONTROL]),
        n_perturbations=len(counts) - 1,
        gene_id_kind=gene_kind,
        n_cells_without_umis=int((np.diff(rows.ends) == 0).sum()) if rows.layout == "csr" else None,
        notes=tuple(notes),
    )
    return Dataset(
        schema,
        columns=columns,
        rows=rows,
        genes=genes,
        cells=cells.table,
        obs_columns=list(obs.columns),
        simulated=simulated,
    )


def list_columns(path: Path | str) -> list[str]:
    """The obs columns of a file, which may need telling which is which. Raises DataError as `open_dataset` does."""
    path = Path(path).expanduser().absolute()
    with reading(path):
        _check_path(path)
        return list(map(str, _read_tables(path)[0].columns))


def _check_path(path: Path) -> None:
    """Raises DataError for a path that names no data file."""
    if not os.path.lexists(path):
        raise DataError("file_missing", f"it does not exist in {path.parent}", fix="check the path")
    if not path.exists():
        raise DataError("broken_link", "it is a link to a file that does not exist", fix="mend the link")
    if path.suffix not in SUFFIXES:
        raise DataError(
            "suffix", f"its name ends in none of {', '.join(SUFFIXES)}", fix="convert it to .h5ad and open that"
        )
    if path.suffix == ".zarr":
        if not path.is_dir():
            raise DataError("not_zarr", "it is a file, but a .zarr is a folder", fix="unpack it or write it again")
    elif path.is_dir():
        raise DataError("not_hdf5", "it is a folder, not an HDF5 file", fix="choose a file in it")
    elif path.stat().st_size == 0:
        raise DataError("empty_file", "it is empty (0 bytes)", fix="copy or write it again")
    elif os.access(path, os.R_OK) and not _is_hdf5(path):
        raise DataError(
            "not_hdf5", "it is not an HDF5 file, whatever its name says", fix="choose an .h5ad written by anndata"
        )


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _read_tables(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, bool]:
    """obs, var, and whether uns says `simulated`. Raises DataError where there are none."""
    from anndata.io import read_elem

    with open_store(path) as store:
        missing = [name for name in ("obs", "var") if name not in store]
        if missing:
            raise DataError(
                "tables_missing",
                f"it has no {' and no '.join(missing)} (it holds {name_some(list(store))})",
                fix="save it as AnnData",
            )
        obs, var = read_elem(store["obs"]), read_elem(store["var"])
        simulated = "uns/simulated" in store and bool(read_elem(store["uns/simulated"]))
    if not (isinstance(obs, pd.DataFrame) and isinstance(var, pd.DataFrame)):
        raise DataError(
            "tables_unreadable",
            "its obs or var is no table that this anndata knows",
            fix="save it again with anndata 0.8 or later",
        )
    return obs, var, simulated


def _check_shape(obs: pd.DataFrame, var: pd.DataFrame) -> None:
    if len(obs) == 0 or len(var) == 0:
        raise DataError(
            "empty_file",
            f"it holds {len(obs):,} cells and {len(var):,} genes",
            fix="choose a file that has both",
        )
    if len(obs.columns) == 0:
        raise DataError(
            "no_columns",
            "obs has no columns, so no cell's perturbation is known",
            fix="add a column such as target_gene",
        )


def _note_csc(scratch_bytes: int) -> str:
    if scratch_bytes == 0:
        return "X is stored by gene (CSC): it is turned around in memory to be read cell by cell."
    where = f"a temporary copy of {scratch_bytes / 1e9:.1f} GB in {tempfile.gettempdir()}"
    return f"X is stored by gene (CSC): to read all cells takes {where}, removed afterwards; CSR is faster."


def _note_targets(labels: Sequence[str], genes: np.ndarray) -> str:
    targets = {gene for label in labels for gene in label.split("+")}
    return (
        f"{len(targets.intersection(genes)):,} of {len(targets):,} perturbed genes are among the {len(genes):,} genes."
    )
