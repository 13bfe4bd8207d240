"""A checked prediction as the official packager would store it: obs of labels alone, CSR of float32, no other part.

    with slimmed(h5ad, folder, season) as ready:       # the file itself where it is so already
        write_vcc(ready, out, season)

Where the packager of the season takes counts and stores logarithms (`Container.normalises`), so does this: each cell is
scaled to the median total of the file, then log1p, in the packager's own float32 arithmetic, block by block.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.atomic import scratch_folder
from vccapp.data.h5ad import GrowingCsr, create_h5, write_tables
from vccapp.data.reading.tables import read_tables
from vccapp.data.resources import require_disk
from vccapp.data.stores.files import filter_numbers
from vccapp.errors import CheckError
from vccapp.progress import Progress, silent
from vccapp.seasons.base import Season
from vccapp.submission.h5ad import Cells, open_cells

FRACTION = 1e-3
"""Any positive fraction above it is a decimal to the official packager, and a file with one is no counts."""
READ_VALUES = 2**19
"""Stored values in one block: packaging stays below 0.3 GB."""
PARTS = frozenset({"X", "obs", "var", "uns", "layers", "obsm", "obsp", "varm", "varp"})
EMPTY = PARTS - {"X", "obs", "var"}
LOG1P = {"log1p": {"base": None}}
"""What the packager of counts leaves in uns where it has taken logarithms."""


@contextlib.contextmanager
def slimmed(h5ad: Path, folder: Path, season: Season, *, progress: Progress = silent) -> Iterator[Path]:
    """The file as it is packed: itself, or a copy in `folder` that goes at the end.

    Raises ResourceError where there is no room for the copy, CheckError where most cells of counts to be normalised
    have none.
    """
    cells = open_cells(h5ad, season.pert_col, season.context_col)
    totals = sum_counts(cells) if season.container.normalises else None
    if totals is None and is_slim(h5ad, cells, season):
        yield h5ad
        return
    needed = max(h5ad.stat().st_size, 8 * cells.n_values if cells.layout != "dense" else 0)
    require_disk(folder, needed, purpose=f"Rewriting {h5ad.name} to package it")
    with scratch_folder(folder) as scratch:
        copy = Path(scratch) / h5ad.name
        write_slim(h5ad, copy, cells, season, totals=totals, progress=progress)
        yield copy


def is_slim(h5ad: Path, cells: Cells, season: Season) -> bool:
    """Whether the file holds what is packed, stored as it is packed, and nothing else; its values were checked."""
    with h5py.File(h5ad) as file:
        x = file.get("X")
        if (
            not isinstance(x, h5py.Group)
            or cells.layout != "csr"
            or cells.dtype != np.float32
            or set(file) - PARTS
            or any(len(file[name]) for name in EMPTY & set(file))
            or any(filter_numbers(x[name]) for name in ("data", "indices", "indptr"))
        ):
            return False
    obs, var, _ = read_tables(h5ad)
    packed = _packed_obs(obs, season)
    return (
        not len(var.columns)
        and list(obs.columns) == list(packed.columns)
        and [str(name) for name in obs.index] == packed.index.tolist()
        and all(_same_labels(obs[name], packed[name]) for name in packed)
    )


def sum_counts(cells: Cells) -> np.ndarray | None:
    """(n_cells,) float32 totals of whole counts; None where a value has decimals, which ends the reading.

    Each is summed in float64 from the first value to the last, as the packager does.
    """
    totals = np.zeros(cells.shape[0], np.float32)
    for start, block in cells.blocks(max_values=READ_VALUES):
        values = block.data.astype(np.float32, copy=False)
        if np.any(values - np.trunc(values) > np.float32(FRACTION)):
            return None
        owner = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        totals[start : start + block.shape[0]] = np.bincount(owner, weights=values, minlength=block.shape[0])
    return totals


def write_slim(
    h5ad: Path,
    out: Path,
    cells: Cells,
    season: Season,
    *,
    totals: np.ndarray | None,
    progress: Progress = silent,
) -> None:
    """Write the copy. totals : of counts that are to be normalised; None keeps the values."""
    factors = None if totals is None else _factors(totals)
    with create_h5(out, reserved=h5ad.stat().st_size if cells.layout != "dense" else 0) as file:
        x = GrowingCsr(file, n_genes=cells.shape[1], expected=_expected(cells), types=_kept_types(h5ad, cells, season))
        for start, stored in cells.blocks(max_values=READ_VALUES):
            if not season.container.normalises:  # the packager of 2025 leaves the order of columns
                stored.sum_duplicates()
            block = stored.astype(np.float32, copy=False)
            if factors is not None:
                _normalise(block, factors[start : start + block.shape[0]])
            x.append(block.data, block.indices, block.indptr[1:])
            progress(start / max(cells.shape[0], 1), f"Rewrote {start:,} of {cells.shape[0]:,} cells")
        x.close()
        write_tables(
            file,
            obs=_packed_obs(read_tables(h5ad).obs, season),
            var=pd.DataFrame(index=np.array(cells.genes, dtype=object)),
            uns={} if factors is None else LOG1P,
        )


def _expected(cells: Cells) -> int:
    """Stored values at most; of a dense matrix it is not known."""
    return 0 if cells.layout == "dense" else cells.n_values


def _kept_types(h5ad: Path, cells: Cells, season: Season) -> tuple[np.dtype, np.dtype] | None:
    """Types of indices and row pointers where the packager leaves them: in float32, which it need not copy."""
    if season.container.normalises or cells.layout != "csr" or cells.dtype != np.float32:
        return None
    with h5py.File(h5ad) as file:
        indices, pointers = file["X/indices"].dtype, file["X/indptr"].dtype
    return (indices, pointers) if {indices.kind, pointers.kind} == {"i"} and indices.itemsize >= 4 else None


def _packed_obs(obs: pd.DataFrame, season: Season) -> pd.DataFrame:
    """Labels alone, numbered, as anndata stores them: text becomes categories where they repeat.

    The packager of 2025 keeps categories as they are, unused ones too; the other sorts them anew.
    """
    from anndata import AnnData

    columns = [name for name in (season.pert_col, season.context_col) if name is not None]
    frame = pd.DataFrame(
        {
            name: obs[name].array if season.container.normalises else obs[name].astype(str).to_numpy(dtype=object)
            for name in columns
        },
        index=np.arange(len(obs)).astype(str),
    )
    cells = AnnData(obs=frame)
    cells.strings_to_categoricals()
    return cells.obs


def _same_labels(found: pd.Series, packed: pd.Series) -> bool:
    if not isinstance(found.dtype, pd.CategoricalDtype) or not isinstance(packed.dtype, pd.CategoricalDtype):
        return False
    return (
        found.cat.ordered == packed.cat.ordered
        and list(found.cat.categories) == list(packed.cat.categories)
        and np.array_equal(found.cat.codes, packed.cat.codes)
    )


def _factors(totals: np.ndarray) -> np.ndarray:
    """(n_cells,) float32: what each cell is divided by."""
    median = np.median(totals)
    if not median > 0:
        raise CheckError(
            "counts_empty",
            "Most cells have no counts, so there is no median depth to scale the others to",
            fix="drop the empty cells",
        )
    factors = totals / median
    return factors + (factors == 0)


def _normalise(block: csr_matrix, factors: np.ndarray) -> None:
    """Scale and take logarithms, in place."""
    np.divide(block.data, np.repeat(factors, np.diff(block.indptr)), out=block.data)
    np.log1p(block.data, out=block.data)
