"""Opening a data file: obs, var, the row pointers and a sample of X are read and checked, never all of X."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vccapp.data.reading.columns import find_cells, find_genes
from vccapp.data.reading.dataset import Dataset, FileDataset
from vccapp.data.reading.files import check_path, open_store, reading
from vccapp.data.reading.joined import JoinedDataset
from vccapp.data.reading.matrix import open_rows
from vccapp.data.reading.tables import check_shape, read_tables, require_tables
from vccapp.data.schema import Columns, Schema, genes_of, is_control
from vccapp.data.values import detect_values


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
        check_path(path)
        obs, var = read_tables(path)
        require_tables(obs, var)
        rows = open_rows(path)
        check_shape(rows, obs, var)
        cells = find_cells(obs, columns)
        genes, gene_kind, gene_notes = find_genes(var)
        space, evidence = detect_values(rows.sample(), rows.shape[1])
        simulated = _is_simulated(path)
    counts = cells.table["perturbation"].value_counts()
    controls = counts[[is_control(label) for label in counts.index]]
    notes = [*cells.notes, *gene_notes, _note_targets(counts.index.drop(controls.index), genes)]
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
        context_column=cells.context_column,
        context_ignored=cells.context_ignored,
        contexts=cells.contexts,
        control_label=cells.control_label,
        n_control_cells=int(controls.sum()),
        n_perturbations=len(counts) - len(controls),
        gene_id_kind=gene_kind,
        n_cells_without_umis=int((np.diff(rows.ends) == 0).sum()) if rows.layout == "csr" else None,
        notes=tuple(notes),
    )
    return FileDataset(
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
        check_path(path)
        return list(map(str, read_tables(path)[0].columns))


def _is_simulated(path: Path) -> bool:
    """Whether uns says that the cells are made up."""
    from anndata.io import read_elem

    with open_store(path) as store:
        return "uns/simulated" in store and bool(read_elem(store["uns/simulated"]))


def _note_csc(scratch_bytes: int) -> str:
    if scratch_bytes == 0:
        return "X is stored by gene (CSC); it is transposed in memory to be read by cell."
    where = f"a temporary copy of {scratch_bytes / 1e9:.1f} GB in {tempfile.gettempdir()}"
    return f"X is stored by gene (CSC); reading all cells takes {where}, removed afterwards. CSR is faster."


def _note_targets(labels: Sequence[str], genes: np.ndarray) -> str:
    targets = {gene for label in labels for gene in genes_of(label)}
    return (
        f"{len(targets.intersection(genes)):,} of {len(targets):,} perturbed genes are among the {len(genes):,} genes."
    )
