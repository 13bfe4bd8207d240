"""Opening a data file: obs, var, the row pointers and a sample of X are read and checked, never all of X."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vccapp.data.matrices.rows import SLAB_VALUES, WHOLE_SAMPLE, Rows
from vccapp.data.matrices.view import ViewedRows
from vccapp.data.names.controls import is_control_like, is_other_control, plain
from vccapp.data.names.features import Features, find_features
from vccapp.data.names.lookalikes import name_unknown
from vccapp.data.names.roles import PERTURBATION_NAMES
from vccapp.data.reading.columns import find_cells
from vccapp.data.reading.dataset import Dataset, FileDataset
from vccapp.data.reading.joined import JoinedDataset
from vccapp.data.reading.matrix import RAW, choose_matrix, list_matrices, open_rows
from vccapp.data.reading.tables import check_shape, naming, read_raw_var, read_tables, require_tables
from vccapp.data.schema import Columns, Schema, genes_of, is_control
from vccapp.data.stores.access import CLOSED, Access
from vccapp.data.stores.convert import make_readable
from vccapp.data.stores.files import open_store, reading
from vccapp.data.stores.places import absolute, find_place
from vccapp.data.values import detect_scale, to_log1p
from vccapp.errors import DataError, VccAppError
from vccapp.wording import name_some


def open_dataset(
    path: Path | str | Sequence[Path | str], *, columns: Columns | None = None, access: Access = CLOSED
) -> Dataset:
    """Open a data file (vccapp.data.stores.places says which), or several of the same genes as one
    (vccapp.data.reading.joined).

    access : where links of the file may lead, and what memory may be taken. Raises DataError, in one sentence, for
    anything that cannot be used, ResourceError for what does not fit the memory.
    """
    if not isinstance(path, Path | str):
        paths = list(path)
        if len(paths) > 1:
            return JoinedDataset([open_dataset(one, columns=columns, access=access) for one in paths])
        (path,) = paths
    columns = columns or Columns()
    path = absolute(path)
    with reading(path):
        source = make_readable(path, access)
        obs, var, left_out = tables = read_tables(source, access)
        require_tables(obs, var)
        _require_labels(left_out, columns)
        with open_store(source, access) as store:
            matrix, notes = choose_matrix(store, columns.matrix)
            base = _read_base(store) if matrix == "X" else None
        var = var if matrix != RAW else read_raw_var(source, access)
        rows = open_rows(source, matrix=matrix, access=access)
        check_shape(rows, obs, var)
        features = find_features(var, columns)
        with naming(left_out):
            cells = find_cells(obs, columns, features)
        genes = features.genes(cells.naming)
        view = ViewedRows(rows, cells=cells.kept, columns=genes.columns, transform=None)
        scale = detect_scale(view.sample(), view.shape[1], base=base)
        if columns.repeated == "sum" and scale.base is not None:
            raise DataError(
                "sum_of_logs",
                "genes of one name cannot be summed, as X holds logarithms",
                fix="make their names unique, or choose the matrix of counts",
            )
        view = ViewedRows(rows, cells=cells.kept, columns=genes.columns, transform=to_log1p(scale))
        simulated = _is_simulated(source, access)
        if scale.kind != "counts":
            notes += _note_counts(source, matrix, access)
    counts = cells.table["perturbation"].value_counts()
    controls = counts[[is_control(label) for label in counts.index]]
    perturbed = counts.index.drop(controls.index)
    unmeasured = find_unmeasured(perturbed, genes.names)
    notes = [
        *tables.notes,
        *cells.notes,
        *notes,
        *genes.notes,
        *_note_targets(perturbed, genes.names, unmeasured, features, cells.naming),
    ]
    if scale.note:
        notes.append(scale.note)
    if scale.space == "scaled":
        notes.append("X holds scaled values: they can be described, but statistics need counts or log1p values.")
    if rows.layout == "csc":
        notes.append(_note_csc(rows.scratch_bytes))
    plain = view.is_plain
    schema = Schema(
        path=path,
        format="h5ad" if find_place(source).kind == "hdf5" else "zarr",
        layout=rows.layout,
        n_cells=view.shape[0],
        n_genes=view.shape[1],
        n_values=None if rows.layout == "dense" else rows.n_values,
        dtype=rows.dtype,
        value_space=scale.space,
        value_evidence=scale.evidence,
        perturbation_column=cells.perturbation_column,
        guide_column=cells.guide_column,
        batch_column=cells.batch_column,
        context_column=cells.context_column,
        context_ignored=cells.context_ignored,
        contexts=cells.contexts,
        control_label=cells.control_label,
        n_control_cells=int(controls.sum()),
        n_perturbations=len(counts) - len(controls),
        gene_id_kind=genes.kind,
        n_cells_without_umis=_count_empty(rows, view),
        matrix=matrix,
        stored_scale=scale.name,
        depth=scale.depth,
        n_cells_left_out=rows.shape[0] - view.shape[0],
        n_features_left_out=features.n_left_out,
        unmeasured=tuple(unmeasured),
        candidates=cells.candidates,
        notes=tuple(notes),
    )
    return FileDataset(
        schema,
        columns=columns,
        rows=rows if plain else view,
        genes=genes.names,
        cells=cells.table,
        obs_columns=list(obs.columns),
        simulated=simulated,
    )


def _require_labels(left_out: dict[str, str], columns: Columns) -> None:
    """Raise DataError where the column that is called the perturbation could not be read: another would be guessed."""
    for name, sentence in left_out.items():
        if columns.perturbation == name or (columns.perturbation is None and plain(name) in PERTURBATION_NAMES):
            raise DataError("column_unreadable", sentence, found=name, fix="write it again, or choose another column")


class Choices(NamedTuple):
    """What a file offers to be chosen: obs and var columns, matrices."""

    obs: list[str]
    var: list[str]
    matrices: list[str]


def list_choices(path: Path | str, access: Access = CLOSED) -> Choices:
    """What a file, which may need telling which is which, offers. Raises DataError as `open_dataset` does."""
    path = absolute(path)
    with reading(path):
        source = make_readable(path, access)
        tables = read_tables(source, access)
        with open_store(source, access) as store:
            return Choices(list(map(str, tables.obs.columns)), list(map(str, tables.var.columns)), list_matrices(store))


def _is_simulated(path: Path, access: Access) -> bool:
    """Whether uns says that the cells are made up."""
    with open_store(path, access) as store:
        if "uns/simulated" not in store:
            return False
        said = store["uns/simulated"]
        return getattr(said, "shape", None) == () and said.dtype.kind in "bui" and bool(said[()])


def _note_csc(scratch_bytes: int) -> str:
    if scratch_bytes == 0:
        return "X is stored by gene (CSC); it is transposed in memory to be read by cell."
    where = f"a temporary copy of {scratch_bytes / 1e9:.1f} GB in {tempfile.gettempdir()}"
    return f"X is stored by gene (CSC); reading all cells takes {where}, removed afterwards. CSR is faster."


def find_unmeasured(labels: Sequence[str], genes: Sequence[str] | np.ndarray) -> list[str]:
    """The perturbed genes that are not among the genes of the file."""
    return sorted(_targets(labels, genes).difference(genes))


def _targets(labels: Sequence[str], genes: Sequence[str] | np.ndarray) -> set[str]:
    """What the labels name, without further kinds of control."""
    known, names = set(genes), {gene for label in labels for gene in genes_of(label)}
    return {name for name in names if name in known or not (is_control_like(name) or is_other_control(name))}


def _note_targets(
    labels: Sequence[str], genes: np.ndarray, unmeasured: Sequence[str], features: Features, naming: str
) -> list[str]:
    n_targets, n_genes = len(_targets(labels, genes)), len(genes)
    notes = [f"{n_targets - len(unmeasured):,} of {n_targets:,} perturbed genes are among the {n_genes:,} genes."]
    if unmeasured:
        notes.append(f"Not measured: {name_unknown(unmeasured, features.known_by(naming))}.")
    return notes


def _note_counts(path: Path, matrix: str, access: Access) -> list[str]:
    """Other matrices of the file that hold counts, told from their first values."""
    with open_store(path, access) as store:
        others = [name for name in list_matrices(store) if name != matrix]
    found = []
    for name in others:
        try:
            first = next(iter(open_rows(path, matrix=name, access=access).sample()), None)
        except VccAppError:  # a layer that cannot be read offers nothing
            continue
        values = np.zeros(0) if first is None else first[2].data
        if len(values) and (values >= 0).all() and (values == np.rint(values)).all():
            found.append(name)
    if not found:
        return []
    return [f"{matrix} holds no counts, but {name_some(found)} does; choose it as the matrix to know the UMIs."]


def _count_empty(rows: Rows, view: ViewedRows) -> int | None:
    """Cells without UMIs; None where that is not known before all is read."""
    if rows.layout != "csr":
        return None
    if rows.n_values <= WHOLE_SAMPLE:
        empty = 0
        for _, block in view.iter_rows(SLAB_VALUES):
            empty += int((np.diff(block.indptr) == 0).sum())
        return empty
    if not view.is_plain:
        return None
    return int((np.diff(rows.ends) == 0).sum())


def _read_base(store: Any) -> float | None:
    """The base of the logarithm, where scanpy wrote it down."""
    if "uns/log1p/base" not in store:
        return None
    said = store["uns/log1p/base"]
    base = float(said[()]) if getattr(said, "shape", None) == () and said.dtype.kind in "iuf" else 0.0
    return base if 1 < base < 100 else None
