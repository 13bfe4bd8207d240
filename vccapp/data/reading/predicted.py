"""A file of predicted cells that another tool made, held against the data it predicts.

    predicted = open_predicted(path, genes=dataset.genes, known=labels)
    predicted.labels, predicted.notes
    for start, block in predicted.iter_cells(): ...     # the data's genes in the data's order

Any .h5ad (or zarr) of cells x genes: counts or log1p, dense or sparse, with or without controls, genes in any order.
Perturbations are found by looking for the data's own labels in obs.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from vccapp.data.matrices.rows import SLAB_VALUES, WHOLE_SAMPLE, Rows
from vccapp.data.names.column import may_be_labels, read_column
from vccapp.data.names.controls import plain
from vccapp.data.names.genes import GeneNames
from vccapp.data.names.labels import KnownLabels
from vccapp.data.names.roles import PERTURBATION_NAMES
from vccapp.data.reading.contexts import put_within
from vccapp.data.reading.matrix import open_rows
from vccapp.data.reading.tables import check_shape, naming, read_tables
from vccapp.data.schema import CONTROL, Columns, ValueSpace, positions_of
from vccapp.data.stores.access import CLOSED, Access
from vccapp.data.stores.convert import make_readable
from vccapp.data.stores.files import open_store, reading
from vccapp.data.stores.places import absolute
from vccapp.data.values import Scale, detect_scale, to_log1p
from vccapp.errors import DataError
from vccapp.wording import name_some

MAX_NEGATIVE = 0.1
"""Share of the absolute values that may be negative: more, and they are scaled values or differences."""
FEW_GENES = 0.5
"""Share of the file's genes that must be the data's by their exact names before other names are tried."""


@dataclass(frozen=True)
class Predicted:
    """An opened file. Made by `open_predicted`.

    rows : the reader of X, layers/NAME or obsm/NAME; scale : of its values
    labels : (n_cells,) categories, the control named CONTROL where the file has one
    columns : (genes of the matrix,) positions among the data's genes, -1 where the data lack the gene
    n_genes : of the data; present : (n_genes,) whether the file has the gene
    """

    rows: Rows
    scale: Scale
    labels: pd.Categorical
    columns: np.ndarray
    n_genes: int
    present: np.ndarray
    notes: tuple[str, ...]

    @property
    def path(self) -> Path:
        return self.rows.path

    @property
    def space(self) -> ValueSpace:
        """Of the values of `iter_cells`."""
        return self.scale.space

    @property
    def matrix(self) -> str:
        return self.rows.matrix

    @property
    def n_cells(self) -> int:
        return len(self.labels)

    def iter_cells(self) -> Iterator[tuple[int, csr_matrix]]:
        """Cells in order as (start row, (n, n_genes) float32 csr), in `space`; negative values are zero."""
        kept, transform = self.columns >= 0, to_log1p(self.scale)
        for start, block in self.rows.iter_rows(SLAB_VALUES):
            block = block if transform is None else transform(block)
            use = kept[block.indices] & (block.data > 0)
            ends = np.concatenate([[0], np.cumsum(use)])[block.indptr]
            parts = (block.data[use], self.columns[block.indices[use]], ends)
            aligned = csr_matrix(parts, shape=(block.shape[0], self.n_genes), dtype=np.float32)
            aligned.sort_indices()
            yield start, aligned


def open_predicted(
    path: Path | str,
    *,
    genes: Sequence[str],
    known: Sequence[str],
    columns: Columns | None = None,
    matrix: str | None = None,
    contexts: Sequence[str] = (),
    context: str | None = None,
    access: Access = CLOSED,
) -> Predicted:
    """Open and check a prediction of data with these `genes` and perturbations (`known`, targets without a context).

    contexts : of the data; context : that of all cells of the file, where no obs column names those of each.
    columns : perturbation column and control label, where they are not found by themselves; matrix : X, layers/NAME or
    obsm/NAME. Raises DataError, in one sentence, for a file that cannot be used.
    """
    path, columns = absolute(path), columns or Columns()
    with reading(path):
        source = make_readable(path, access)
        obs, var, left_out = tables = read_tables(source, access)
        with open_store(source, access) as store:
            matrix = _choose_matrix(store, matrix)
        rows = open_rows(source, matrix=matrix, access=access)
        check_shape(rows, obs)
        width = rows.shape[1]
        notes = tables.notes
        if matrix != "X":
            notes.append(f"The prediction is read from {matrix}.")
        with naming(left_out):
            labels = _find_labels(obs, columns, known=known, genes=genes, notes=notes)
            if contexts:
                labels = put_within(labels, pd.Categorical(_find_contexts(obs, contexts, context, notes)))
        names = _names_of(var, matrix, width)
        position = _find_genes(names, var if len(var) == width else var.iloc[:0], genes, notes)
        scale = _detect_scale(rows, notes)
    present = np.zeros(len(genes), bool)
    present[position[position >= 0]] = True
    return Predicted(rows, scale, labels, position, len(genes), present, tuple(notes))


def _choose_matrix(store: Any, wanted: str | None) -> str:
    """Where the prediction is. STATE's `tx infer` writes to X or to obsm/X_hvg and keeps the input in the other."""
    there = [name for name in ("X",) if name in store]
    there += [f"{group}/{name}" for group in ("layers", "obsm") if group in store for name in store[group]]
    if wanted is not None:
        if wanted not in there:
            raise DataError(
                "no_matrix",
                f"it has no matrix '{wanted}'",
                fix=f"choose one of {name_some(there)}",
            )
        return wanted
    if "X" in there and "obsm/X_hvg" in there:
        raise DataError(
            "ambiguous_matrix",
            "it has both X and obsm/X_hvg, and only one of them is the prediction",
            fix="say which (--matrix)",
        )
    if "X" not in there:
        raise DataError(
            "no_matrix",
            "it has no X",
            fix=f"choose the matrix that holds the prediction with --matrix: {name_some(there)} (--matrix)",
        )
    return "X"


def _find_labels(
    obs: pd.DataFrame, columns: Columns, *, known: Sequence[str], genes: Sequence[str], notes: list[str]
) -> pd.Categorical:
    """The perturbation of each cell, from the obs column that names most of the data's perturbations."""
    if columns.perturbation is not None and columns.perturbation not in obs:
        raise DataError(
            "no_column",
            f"obs has no column '{columns.perturbation}'",
            fix=f"it has {name_some(list(obs.columns))}: choose one of them",
        )
    control = columns.controls[0] if columns.controls else None
    matcher, symbols = KnownLabels(known, genes, control=control), set(genes)
    labels = matcher.labels

    def count(column: str) -> tuple[int, int, int]:
        names = read_column(obs, column).names
        read = {matcher.find(name) for name in names[:20_000]}
        rank = PERTURBATION_NAMES.index(plain(str(column))) if plain(str(column)) in PERTURBATION_NAMES else 99
        return len(read & labels), len(read & symbols), -rank

    chosen = columns.perturbation or max(
        (name for name in obs.columns if may_be_labels(obs[name])), key=count, default=None
    )
    if chosen is None or count(chosen)[:2] == (0, 0):
        found = (
            f"'{chosen}' names none" if columns.perturbation else f"no obs column names any ({name_some(list(obs))})"
        )
        raise DataError(
            "no_known_labels",
            f"{found} of the data's perturbations, such as {name_some(sorted(labels), 3)}",
            fix="choose the column",
        )
    text = obs[chosen].astype(object)
    if text.isna().any():
        raise DataError(
            "missing_labels",
            f"{int(text.isna().sum()):,} of {len(text):,} cells have no label in '{chosen}'",
            fix="drop or label them",
        )
    names = {name: matcher.find(name) for name in text.astype(str).unique()}
    if control is not None and control not in names:
        raise DataError(
            "no_control_label",
            f"'{chosen}' holds no label '{control}' (it holds {name_some(list(names))})",
            fix="choose another",
        )
    if columns.perturbation is None:
        notes.append(f"Perturbations are read from the obs column '{chosen}', which names the data's perturbations.")
    changed = [f"'{name}' as '{label}'" for name, label in names.items() if name != label]
    if changed:
        notes.append(f"{len(changed):,} labels were matched to the dataset's: {name_some(changed, 3)}.")
    if CONTROL not in names.values():
        notes.append("The file has no control cells, so it is compared with the dataset's own controls.")
    strange = sorted(set(names.values()) - labels - {CONTROL})
    if strange:
        notes.append(
            f"{len(strange):,} perturbations are not in the dataset and cannot be compared: {name_some(strange)}."
        )
    return pd.Categorical(text.astype(str).map(names))


def _find_contexts(obs: pd.DataFrame, contexts: Sequence[str], context: str | None, notes: list[str]) -> np.ndarray:
    """(n_cells,) object: the context of each cell, which all are `context` or stand in an obs column."""
    if context is not None:
        if context not in contexts:
            raise DataError(
                "unknown_context",
                f"the dataset has no context '{context}'",
                fix=f"choose one of {name_some(contexts)}",
            )
        return np.full(len(obs), context, dtype=object)
    known = set(contexts)
    found = [
        str(name) for name in obs.columns if may_be_labels(obs[name]) and set(read_column(obs, name).names) <= known
    ]
    if not found:
        raise DataError(
            "needs_context",
            f"no obs column says in which context its cells are ({name_some(contexts)})",
            fix="add one, or name the context of all cells (--context)",
        )
    chosen = max(found, key=lambda name: obs[name].nunique())
    notes.append(f"The context of each cell is read from the obs column '{chosen}'.")
    return obs[chosen].astype(str).to_numpy(object)


def _names_of(var: pd.DataFrame, matrix: str, width: int) -> list[str]:
    """Gene names of the columns of a matrix: of all of var, or of its highly variable genes."""
    if width == len(var):
        return [str(name) for name in var.index]
    if "highly_variable" in var and int(var["highly_variable"].sum()) == width:
        return [str(name) for name in var.index[var["highly_variable"].astype(bool)]]
    raise DataError(
        "genes_unnamed",
        f"{matrix} has {width:,} columns and var {len(var):,} genes, so its genes have no names",
        fix="write them to var",
    )


def _find_genes(names: list[str], var: pd.DataFrame, genes: Sequence[str], notes: list[str]) -> np.ndarray:
    """Where each gene of the file stands among the data's, -1 for those they lack."""
    position = positions_of(genes)
    ways = {"the var index": names, "the var index without version": [re.sub(r"\.\d+$", "", name) for name in names]}
    ways |= {f"the var column '{c}'": var[c].astype(str).tolist() for c in var if var[c].dtype.kind not in "biuf"}
    found = {way: np.array([position.get(name, -1) for name in listed]) for way, listed in ways.items()}
    way = max(found, key=lambda name: int((found[name] >= 0).sum()))
    if (found[way] >= 0).mean() < FEW_GENES:
        own = GeneNames(list(genes))
        ways = {f"{naming}, under other names": listed for naming, listed in ways.items()}
        found |= {
            naming: np.array([position[hit.gene] if (hit := own.find(name)) else -1 for name in listed])
            for naming, listed in ways.items()
        }
        way = max(found, key=lambda name: int((found[name] >= 0).sum()))
    at, order = found[way], np.arange(len(names))
    if (at < 0).all():
        if len(names) == len(genes) and names == list(map(str, order)):
            notes.append("The file does not name its genes; they are assumed to be the dataset's, in the same order.")
            return order
        raise DataError(
            "no_known_genes",
            f"none of its {len(names):,} genes ({name_some(names, 3)}) is among the data's {len(genes):,} "
            f"({name_some(genes, 3)})",
            fix="name the genes in var as in the dataset",
        )
    twice = [names[i] for i in np.flatnonzero(at >= 0) if (at == at[i]).sum() > 1] if _repeats(at) else []
    if twice:
        raise DataError(
            "repeated_genes",
            f"{len(twice):,} of its genes share a name ({name_some(sorted(set(twice)))})",
            fix="make the names unique",
        )
    if way != "the var index":
        notes.append(f"Genes are named by {way}.")
    there = set(at.tolist())
    absent = [gene for i, gene in enumerate(genes) if i not in there]
    extra = [name for name, i in zip(names, at, strict=True) if i < 0]
    if absent:
        notes.append(
            f"{len(absent):,} of the dataset's {len(genes):,} genes are missing ({name_some(absent)}): they "
            "get the control mean, and in cells the values of real control cells."
        )
    if extra:
        notes.append(f"{len(extra):,} genes are not in the dataset and are left out ({name_some(extra)}).")
    if not absent and not extra and not np.array_equal(at, order):
        notes.append("Genes are in another order than in the dataset and were reordered.")
    return at


def _repeats(at: np.ndarray) -> bool:
    known = at[at >= 0]
    return len(np.unique(known)) < len(known)


def _detect_scale(rows: Rows, notes: list[str]) -> Scale:
    """Of counts or logarithms. Small negative values, of networks without a last ReLU, are allowed and noted."""
    negative = total = 0.0
    low, blocks, seen = 0.0, [], 0
    for start, block in rows.iter_rows(SLAB_VALUES):
        values = block.data
        if np.isfinite(values).all():
            low = min(low, float(values.min(initial=0)))
            negative += float(-values[values < 0].sum(dtype=np.float64))
            total += float(np.abs(values).sum(dtype=np.float64))
            block.data = np.maximum(values, 0)
            block.eliminate_zeros()
        blocks.append((start, 0, block))
        seen += block.shape[0] * rows.shape[1]
        if seen > WHOLE_SAMPLE:
            break
    if negative > MAX_NEGATIVE * total:
        raise DataError(
            "not_a_prediction",
            f"{rows.matrix} has values from {low:.3g}, {negative / total:.0%} of their sum negative: scaled values "
            "or differences from the control",
            fix="store predicted log1p values or counts",
        )
    scale = detect_scale(blocks, rows.shape[1])
    if scale.kind in ("normalised", "corrected"):
        raise DataError(
            "unlogged_values",
            f"{rows.matrix} holds values without a logarithm: {scale.evidence}",
            fix="store log1p values on the data's scale, or whole counts",
        )
    notes.append(f"Values are {scale.name}: {scale.evidence}.")
    if to_log1p(scale) is not None and scale.note:
        notes.append(scale.note)
    if negative:
        notes.append(f"Negative values (down to {low:.3g}, {negative / total:.2%} of the sum) are set to zero.")
    return scale
