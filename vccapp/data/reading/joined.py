"""Several data files as one dataset: cells one file after the other, genes in the order of the first file.

Made by `open_dataset([first, second, ...])`. The files must have the same genes, in any order, and the same value
space. Each file is a context of its own, or several: its cells are compared with its own controls. A batch of one name
in two files is two batches, and so is a guide.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from vccapp.data.matrices.rows import in_order
from vccapp.data.names.labels import join_orders
from vccapp.data.reading.contexts import order_labels, split_contexts
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import ALL, GROUPS, IGNORED, Context, Schema, is_control, target_of
from vccapp.data.stores.access import Access
from vccapp.data.stores.places import resolved
from vccapp.errors import DataError
from vccapp.wording import name_some


class JoinedDataset(Dataset):
    """The cells of `parts`, in order."""

    def __init__(self, parts: Sequence[Dataset]) -> None:
        first = parts[0]
        notes = _check_parts(parts)
        cells, contexts = _join_cells(parts, notes)
        super().__init__(
            _join_schemas(parts, cells, contexts, notes),
            columns=first.columns,
            rows=JoinedRows(parts),
            genes=first.genes,
            cells=cells,
            obs_columns=[name for name in first.obs_columns if all(name in part.obs_columns for part in parts)],
            simulated=any(part.simulated for part in parts),
        )
        self.parts = tuple(parts)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(part.path for part in self.parts)

    @property
    def kept(self) -> tuple[np.ndarray | None, ...]:
        return tuple(kept for part in self.parts for kept in part.kept)

    @property
    def sources(self) -> tuple[Path, ...]:
        return tuple(source for part in self.parts for source in part.sources)

    @property
    def access(self) -> Access:
        return self.parts[0].access

    def _compute_fingerprint(self) -> str:
        """Of the fingerprints of the parts, in order."""
        text = "".join([*(part.fingerprint for part in self.parts), *self.cells["perturbation"].cat.categories])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class JoinedRows:
    """The readers of several files as one, with the genes in the order of the first."""

    def __init__(self, parts: Sequence[Dataset]) -> None:
        genes = pd.Index(parts[0].genes)
        self.parts = [part.rows for part in parts]
        self.starts = np.cumsum([0, *(part.n_cells for part in parts)])
        orders = [genes.get_indexer(part.genes).astype(np.int32) for part in parts]
        self.places = [None if (np.diff(order) == 1).all() else order for order in orders]

    @property
    def scratch_bytes(self) -> int:
        return sum(part.scratch_bytes for part in self.parts)

    def iter_rows(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        for number, begin, cells in self._ranges(first, last):
            for start, block in self.parts[number].iter_rows(max_values, **cells):
                yield begin + start, _move_genes(block, self.places[number])
                del block

    def iter_values(
        self, max_values: int, *, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        for number, begin, cells in self._ranges(first, last):
            for start, values, ends in self.parts[number].iter_values(max_values, **cells):
                yield begin + start, values, ends
                del values

    def _ranges(self, first: int, last: int | None) -> Iterator[tuple[int, int, dict[str, int]]]:
        """The parts with cells of first .. last - 1: number, its first cell, the range within it."""
        last = int(self.starts[-1]) if last is None else last
        for number, (begin, end) in enumerate(pairwise(self.starts.tolist())):
            if max(first, begin) < min(last, end):
                yield number, begin, {"first": max(first, begin) - begin, "last": min(last, end) - begin}

    def read_rows(self, rows: Sequence[int] | np.ndarray) -> csr_matrix:
        rows = np.asarray(rows, dtype=np.int64).ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= self.starts[-1]):
            msg = f"Rows {rows.min()} to {rows.max()} were asked of {self.starts[-1]:,} cells."
            raise IndexError(msg)
        rows, order = np.unique(rows, return_inverse=True)
        parts = np.split(rows, np.searchsorted(rows, self.starts[1:-1]))
        read = [
            _move_genes(part.read_rows(wanted - begin), places)
            for part, wanted, begin, places in zip(self.parts, parts, self.starts, self.places, strict=False)
        ]
        return in_order(vstack(read, format="csr"), order)


def _move_genes(block: csr_matrix, places: np.ndarray | None) -> csr_matrix:
    """places : column of each column of `block`, None for its own."""
    if places is None:
        return block
    moved = csr_matrix((block.data, places[block.indices], block.indptr), shape=block.shape)
    moved.sort_indices()
    return moved


def _check_parts(parts: Sequence[Dataset]) -> list[str]:
    """Raises DataError unless the parts go together; the notes of the whole."""
    first = parts[0]
    if len({resolved(part.path) for part in parts}) < len(parts):
        raise DataError(
            "file_given_twice",
            f"{name_some([part.path.name for part in parts])}: the same file was given twice",
            fix="give each once",
        )
    notes = [f"{len(parts)} files are joined: {', '.join(str(part.path) for part in parts)}."]
    for part in parts[1:]:
        if part.schema.value_space != first.schema.value_space:
            raise DataError(
                "mixed_value_spaces",
                f"{part.path.name} holds {part.schema.value_space} values, {first.path.name} "
                f"{first.schema.value_space}",
                fix="join files with the same kind of values",
            )
        lacking, further = set(first.genes) - set(part.genes), set(part.genes) - set(first.genes)
        if lacking or further:
            raise DataError(
                "genes_differ",
                f"{part.path.name} lacks {len(lacking):,} genes of {first.path.name} ({name_some(sorted(lacking))}) "
                f"and has {len(further):,} others ({name_some(sorted(further))})",
                fix="join files with the same genes",
            )
        own, other = part.schema.depth, first.schema.depth
        if own is not None and other is not None and not np.isclose(own, other, rtol=0.01):
            notes.append(
                f"Cells of {part.path.name} sum to {own:,.0f} before the logarithm, those of {first.path.name} to "
                f"{other:,.0f}."
            )
        if not np.array_equal(part.genes, first.genes):
            notes.append(f"The genes of {part.path.name} are reordered to match {first.path.name}.")
    return notes


def _join_cells(parts: Sequence[Dataset], notes: list[str]) -> tuple[pd.DataFrame, tuple[Context, ...]]:
    names = _name_files([part.path for part in parts])
    tables = []
    for part, name in zip(parts, names, strict=True):
        table = part.cells.astype(str)
        if part.schema.contexts:
            for column in GROUPS:
                table[column] = table[column].map(target_of)
        table["context"] = [name if where == ALL else f"{name} {where}" for where in table["context"]]
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True)
    orders = join_orders(joined["perturbation"].value_counts().to_dict())
    if orders:
        joined["perturbation"] = joined["perturbation"].replace(orders)
        first, other = next(iter(orders.items()))
        notes.append(f"{len(orders):,} pairs are in another order in another file: '{first}' is '{other}'.")
    if parts[0].columns.context != IGNORED:
        notes.append("Each file is a context: its cells are compared with its own controls.")
        cells, contexts, more = split_contexts(joined, joined["context"])
        notes += more
        return cells, contexts
    notes.append(
        "The files are not told apart as contexts: cells of all are compared with the controls of all, so effects may "
        "be those of the file."
    )
    origin = np.repeat(names, [part.n_cells for part in parts])
    joined["batch"] = [
        name if batch == ALL else f"{name} {batch}" for batch, name in zip(joined["batch"], origin, strict=True)
    ]
    columns = {name: order_labels(joined[name]) for name in GROUPS}
    return pd.DataFrame(columns).assign(context=pd.Categorical([ALL] * len(joined))), ()


def _name_files(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its own without the suffix, numbered where two have the same."""
    stems = [path.name.split(".")[0] or path.name for path in paths]
    return [f"{stem} {i}" if stems.count(stem) > 1 else stem for i, stem in enumerate(stems, 1)]


def _join_schemas(
    parts: Sequence[Dataset], cells: pd.DataFrame, contexts: tuple[Context, ...], notes: list[str]
) -> Schema:
    schemas = [part.schema for part in parts]
    notes += [f"{schema.path.name}: {note}" for schema in schemas for note in schema.notes]
    n_values = [schema.n_values for schema in schemas]
    empty = [schema.n_cells_without_umis for schema in schemas]
    labels = cells["perturbation"].cat.categories
    controls = [label for label in labels if is_control(label)]
    return schemas[0].model_copy(
        update={
            "n_cells": len(cells),
            "n_values": None if None in n_values else sum(n_values),
            "value_evidence": "; ".join(dict.fromkeys(schema.value_evidence for schema in schemas)),
            "control_label": ", ".join(dict.fromkeys(schema.control_label for schema in schemas)),
            "context_column": "file" if contexts else None,
            "context_ignored": None if contexts else "file",
            "contexts": contexts,
            "n_control_cells": int(cells["perturbation"].isin(controls).sum()),
            "n_perturbations": len(labels) - len(controls),
            "n_cells_without_umis": None if None in empty else sum(empty),
            "notes": tuple(notes),
        }
    )
