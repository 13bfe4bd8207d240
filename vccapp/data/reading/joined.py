"""Several data files as one dataset: cells one file after the other, genes in the order of the first file.

Made by `open_dataset([first, second, ...])`. The files must have the same genes, in any order, and the same value
space. A batch of one name in two files is one batch; where no file has batches, each file is one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.rows import in_order
from vccapp.data.schema import CONTROL, Schema
from vccapp.errors import DataError
from vccapp.wording import name_some


class JoinedDataset(Dataset):
    """The cells of `parts`, in order."""

    def __init__(self, parts: Sequence[Dataset]) -> None:
        first = parts[0]
        notes = _check_parts(parts)
        cells = _join_cells(parts, notes)
        super().__init__(
            _join_schemas(parts, cells, notes),
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

    def _compute_fingerprint(self) -> str:
        """Of the fingerprints of the parts, in order."""
        return hashlib.blake2b("".join(part.fingerprint for part in self.parts).encode(), digest_size=8).hexdigest()


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
    if len({part.path.resolve() for part in parts}) < len(parts):
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
        if not np.array_equal(part.genes, first.genes):
            notes.append(f"The genes of {part.path.name} are reordered to match {first.path.name}.")
    return notes


def _join_cells(parts: Sequence[Dataset], notes: list[str]) -> pd.DataFrame:
    tables = [part.cells for part in parts]
    if all(part.schema.batch_column is None for part in parts):
        tables = [table.assign(batch=f"file {i}") for i, table in enumerate(tables, 1)]
        notes.append("No file has a batch column: each file counts as one batch.")
    joined = pd.concat([table.astype(str) for table in tables], ignore_index=True)
    ordered = [CONTROL, *sorted(set(joined["perturbation"]) - {CONTROL})]
    joined["perturbation"] = pd.Categorical(joined["perturbation"], categories=ordered)
    return joined.astype({"guide": "category", "batch": "category"})


def _join_schemas(parts: Sequence[Dataset], cells: pd.DataFrame, notes: list[str]) -> Schema:
    schemas = [part.schema for part in parts]
    notes += [f"{schema.path.name}: {note}" for schema in schemas for note in schema.notes]
    n_values = [schema.n_values for schema in schemas]
    empty = [schema.n_cells_without_umis for schema in schemas]
    n_controls = int((cells["perturbation"] == CONTROL).sum())
    return schemas[0].model_copy(
        update={
            "n_cells": len(cells),
            "n_values": None if None in n_values else sum(n_values),
            "value_evidence": "; ".join(dict.fromkeys(schema.value_evidence for schema in schemas)),
            "control_label": ", ".join(dict.fromkeys(schema.control_label for schema in schemas)),
            "n_control_cells": n_controls,
            "n_perturbations": len(cells["perturbation"].cat.categories) - 1,
            "n_cells_without_umis": None if None in empty else sum(empty),
            "notes": tuple(notes),
        }
    )
