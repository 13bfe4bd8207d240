"""What a mended file will be: labels, rows, genes and values, as mends decide them; written in one pass.

A draft begins as the file itself. Mends change it, `write_draft` streams the cells through it: always CSR, float32,
sorted, without explicit zeros, with obs, var and X alone.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from vccapp.data.h5ad import GrowingCsr, create_h5, write_tables
from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import label_in, target_of
from vccapp.errors import CheckError
from vccapp.progress import Progress, silent
from vccapp.seasons.base import Space
from vccapp.stats.index import Index
from vccapp.submission.check import CheckResult
from vccapp.submission.checking.context import Context
from vccapp.submission.h5ad import READ_VALUES
from vccapp.training.cells import draw_controls, find_controls, read_log1p

Change = Callable[[int, csr_matrix], csr_matrix]
"""New values of a block whose first cell is given, at the places of the old ones."""


@dataclass(frozen=True)
class Donor:
    """Data whose control cells may be copied."""

    dataset: Dataset
    index: Index

    def label(self, context: str | None) -> str:
        """Of the control cells for a context of a submission. Raises CheckError where they cannot be told."""
        controls = self.index.controls
        own = [label for label in controls if context is not None and label == label_in(target_of(label), context)]
        if len(controls) != 1 and not own:
            raise CheckError(
                "needs_context",
                "The dataset has several contexts, and none is the submission's",
                found=self.index.contexts,
                fix="use a dataset of one context",
            )
        return own[0] if own else controls[0]

    def count(self, context: str | None) -> int:
        return len(find_controls(self.index, self.label(context)))

    def blocks(self, n: int, context: str | None, space: Space, *, seed: int) -> Iterator[csr_matrix]:
        """`n` control cells in the values of the submission, by seed. Raises CheckError without counts to copy."""
        label = self.label(context)
        drawn = draw_controls(find_controls(self.index, label), n, label=label, seed=seed)
        if space == "counts" and self.index.meta["value_space"] != "counts":
            raise CheckError(
                "needs_counts", "The dataset holds no counts to copy", fix="use the training data with raw counts"
            )
        for start in range(0, len(drawn), CELLS_READ):
            cells = drawn.iloc[start : start + CELLS_READ]
            if space == "counts":
                yield self.dataset.read_rows(cells["row"].to_numpy())
            else:
                yield read_log1p(self.dataset, self.index, cells)

    @property
    def genes(self) -> list[str]:
        names: list[str] = self.index.genes["gene"].tolist()
        return names


CELLS_READ = 500
"""Control cells read at a time."""


@dataclass
class Draft:
    """context, results : of the file as it is; donor : data for control cells, None without

    targets : (cells,) label of each cell, "" without; contexts : the same, None where the season has none
    times : (cells,) how often each cell is written
    genes : of the file written; columns : (genes,) where each stands in the file read, -1 where it does not
    changes : of the values, in order; added : control cells at the end, by context
    fill : (cells, genes missing) control cells whose values stand in for missing genes; None: zeros
    """

    context: Context
    results: Mapping[str, CheckResult]
    donor: Donor | None = None
    seed: int = 0
    targets: np.ndarray = field(init=False)
    contexts: np.ndarray | None = field(init=False)
    times: np.ndarray = field(init=False)
    genes: list[str] = field(init=False)
    columns: np.ndarray = field(init=False)
    changes: list[Change] = field(init=False, default_factory=list)
    added: dict[str | None, int] = field(init=False, default_factory=dict)
    fill: csr_matrix | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        file = self.context.file
        self.targets = _texts(file.labels)
        self.contexts = None if file.contexts is None else _texts(file.contexts)
        self.times = np.ones(file.shape[0], np.int64)
        self.genes = list(file.genes)
        self.columns = np.arange(len(self.genes))

    def asks(self, mend: str) -> bool:
        """Whether a check asks for this mend."""
        return any(result.mend == mend for result in self.results.values())

    def rng(self, name: str) -> np.random.Generator:
        """For one mend: what another draws does not change it."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    @property
    def asked_targets(self) -> set[str]:
        """Targets that the season or the list asks for; empty where they are not known."""
        asked = self.context.asked or {}
        return {target_of(label) for label in asked} if self.context.season.context_col else set(asked)

    def groups(self) -> dict[str, np.ndarray]:
        """Rows that are written, by group name, as the labels now are."""
        kept = np.flatnonzero(self.times)
        names = self.targets[kept]
        if self.contexts is not None:
            names = np.array([label_in(t, c) for t, c in zip(names, self.contexts[kept], strict=True)], object)
        codes, found = pd.factorize(names)
        order = np.argsort(codes, kind="stable")
        parts = np.split(kept[order], np.cumsum(np.bincount(codes, minlength=len(found)))[:-1]) if len(found) else []
        return {str(name): rows for name, rows in zip(found, parts, strict=True)}

    @property
    def n_cells(self) -> int:
        return int(self.times.sum()) + sum(self.added.values())

    def sample(self, n: int = 2_000, *, controls: bool = False) -> csr_matrix:
        """Evenly spread cells, as they are stored; of the controls alone where the file has some."""
        rows = np.arange(self.context.file.shape[0])
        if controls and len(self.context.controls()):
            rows = np.flatnonzero(np.isin(self.context.all_codes, self.context.controls()))
        spread = np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.int64))
        return self.context.file.rows.read_rows(rows[spread])


def _texts(labels: pd.Categorical) -> np.ndarray:
    names = np.array([*map(str, labels.categories), ""], dtype=object)
    texts: np.ndarray = names[labels.codes]
    return texts


def write_draft(draft: Draft, out: Path, *, progress: Progress = silent) -> None:
    """Stream the cells of the draft to a new h5ad. Raises OSError when the disk does not take it."""
    file, season = draft.context.file, draft.context.season
    place = np.full(file.shape[1], -1, np.int64)
    there = np.flatnonzero(draft.columns >= 0)
    place[draft.columns[there]] = there
    missing = np.flatnonzero(draft.columns < 0)
    rng = draft.rng("fill")
    targets: list[str] = []
    contexts: list[str] = []
    with create_h5(out) as store:
        x = GrowingCsr(store, n_genes=len(draft.genes))

        def append(block: csr_matrix) -> None:
            if len(missing) and draft.fill is not None and block.shape[0]:
                drawn = draft.fill[rng.integers(0, draft.fill.shape[0], block.shape[0])]
                block = block + _moved(drawn, missing, len(draft.genes))
            block = block.astype(np.float32)
            block.eliminate_zeros()
            block.sort_indices()
            x.append(block.data, block.indices, block.indptr[1:])

        for start, block in file.rows.iter_rows(READ_VALUES):
            times = draft.times[start : start + block.shape[0]]
            progress(0.95 * start / max(file.shape[0], 1), f"Wrote {start:,} of {file.shape[0]:,} cells")
            if not times.any():
                continue
            for change in draft.changes:
                block = change(start, block)
            rows = np.repeat(np.arange(len(times)), times)
            append(_moved(block if (times == 1).all() else block[rows], place, len(draft.genes)))
            targets += draft.targets[start + rows].tolist()
            if draft.contexts is not None:
                contexts += draft.contexts[start + rows].tolist()
        for context, block in _added(draft):
            append(block)
            targets += [season.control_label] * block.shape[0]
            contexts += [context or ""] * block.shape[0]
        x.close()
        obs = pd.DataFrame({season.pert_col: _column(targets)}, index=np.arange(len(targets)).astype(str))
        if draft.contexts is not None and season.context_col is not None:
            obs[season.context_col] = _column(contexts)
        write_tables(store, obs=obs, var=pd.DataFrame(index=np.array(draft.genes, dtype=object)), uns={})
    progress(1.0, f"Wrote {len(targets):,} cells")


def _added(draft: Draft) -> Iterator[tuple[str | None, csr_matrix]]:
    """Blocks of the control cells to add, in the genes of the draft."""
    if draft.donor is None:
        return
    position = {gene: i for i, gene in enumerate(draft.genes)}
    place = np.array([position.get(gene, -1) for gene in draft.donor.genes], np.int64)
    for context, n in draft.added.items():
        for block in draft.donor.blocks(n, context, draft.context.space, seed=draft.seed):
            yield context, _moved(block, place, len(draft.genes))


def _moved(block: csr_matrix, place: np.ndarray, n_genes: int) -> csr_matrix:
    """Columns at their new places; those of place -1 are left out."""
    columns = place[block.indices]
    kept = columns >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])[block.indptr]
    arrays = block.data[kept], columns[kept].astype(np.int32), ends.astype(np.int32)
    return csr_matrix(arrays, shape=(block.shape[0], n_genes))


def _column(labels: list[str]) -> pd.Categorical:
    """A label that is missing stays so."""
    return pd.Categorical([label or None for label in labels])


def take_controls(donor: Donor, genes: list[str], space: Space, *, seed: int, most: int = 2_000) -> csr_matrix:
    """(some control cells, genes) of the first context; genes that the data lack are zero."""
    context = next(iter(donor.index.contexts), None)
    position = {gene: i for i, gene in enumerate(genes)}
    place = np.array([position.get(gene, -1) for gene in donor.genes], np.int64)
    blocks = donor.blocks(min(most, donor.count(context)), context, space, seed=seed)
    return vstack([_moved(block, place, len(genes)) for block in blocks], format="csr")
