"""obs and var of a data file, and whether they fit its matrix: of data, predictions and submissions alike."""

from pathlib import Path

import pandas as pd

from vccapp.data.reading.files import open_store
from vccapp.data.reading.rows import Rows
from vccapp.errors import DataError
from vccapp.wording import name_some


def read_tables(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """obs and var. Raises DataError where there are none."""
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
    if not (isinstance(obs, pd.DataFrame) and isinstance(var, pd.DataFrame)):
        raise DataError(
            "tables_unreadable",
            "its obs or var is not a table that this version of anndata reads",
            fix="save it again with anndata 0.8 or later",
        )
    return obs, var


def read_raw_var(path: Path) -> pd.DataFrame:
    """var of the genes of raw. Raises DataError where there is none."""
    from anndata.io import read_elem

    with open_store(path) as store:
        var = read_elem(store["raw/var"]) if "raw/var" in store else None
    if not isinstance(var, pd.DataFrame):
        raise DataError("tables_missing", "its raw has no var", fix="choose another matrix")
    return var


def require_tables(obs: pd.DataFrame, var: pd.DataFrame) -> None:
    """Raise DataError where there is no cell, no gene or nothing that tells one cell from another."""
    if len(obs) == 0 or len(var) == 0:
        raise DataError(
            "empty_file",
            f"it holds {len(obs):,} cells and {len(var):,} genes",
            fix="choose a file that has both",
        )
    if len(obs.columns) == 0:
        raise DataError(
            "no_columns",
            "obs has no columns, so perturbations are unknown",
            fix="add a column such as target_gene",
        )


def check_shape(rows: Rows, obs: pd.DataFrame, var: pd.DataFrame | None = None) -> None:
    """Raise DataError where the matrix has other cells than obs, or other genes than var, where that is given."""
    genes = "" if var is None else f" and var {len(var):,} genes"
    if rows.shape != (len(obs), rows.shape[1] if var is None else len(var)):
        raise DataError(
            "shape_mismatch",
            f"{rows.matrix} is {rows.shape[0]:,} x {rows.shape[1]:,}, but obs has {len(obs):,} cells{genes}, so the "
            "file is damaged",
            found=rows.shape,
            fix="write it again",
        )
