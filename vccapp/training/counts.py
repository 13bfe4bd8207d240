"""The cells that a model predicts as whole counts, streamed: what a submission of counts is made of.

    pool = CountPool(dataset, index, context, columns=None)
    for label, block in iter_counts(pool, model, [Wanted("STAT1", "STAT1", 400, depth=20_000)], method="thin", seed=0):
        block            # csr, whole counts in float32

Cells are made from the control cells of their context, drawn by batch as `vccapp.training.cells.draw_controls` does;
a model whose cells are its own (`Model.makes_cells`) gives them itself. Controls stay in memory where they fit. Bytes
depend on the seed and the labels alone, not on blocks or threads.
"""

import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix, vstack

from vccapp.data.reading.dataset import Dataset
from vccapp.data.schema import CONTROL, is_control, label_in
from vccapp.errors import SpecError
from vccapp.models.parts.counts import (
    Counts,
    Profile,
    Stream,
    Thinning,
    check_counts,
    draw_cells,
    measure_controls,
    sign_cells,
    thin_cells,
)
from vccapp.stats.index import Index
from vccapp.training.cells import (
    READ_VALUES,
    Predictor,
    draw_controls,
    find_controls,
    iter_cells,
    order_genes,
    split_cells,
)

Method = Literal["thin", "negative_binomial"]
POOL_VALUES = 150_000_000
"""Stored values of control cells that are kept in memory: 600 MB. Those of more are read for each perturbation."""
ROOM = 2**23
"""Cells x genes of one block: 67 MB of room, of which only what is filled takes memory."""
ATTEMPTS = 20
"""Times that a cell which equals another of its perturbation is made again."""
PREDICTED_AT_ONCE = 32


@dataclass(frozen=True)
class Wanted:
    """Cells to make. source : label in the data of the control cells; depth : median counts, None as the controls."""

    label: str
    source: str
    n_cells: int
    depth: float | None = None


class CountPool:
    """The control cells of one context of the data as counts, with genes as a submission has them.

    columns : of `vccapp.submission.gene_list.find_columns`, None for the data's own genes
    Raises SpecError where the data hold no counts.
    """

    def __init__(self, dataset: Dataset, index: Index, context: str | None, *, columns: np.ndarray | None) -> None:
        if index.meta["value_space"] != "counts":
            raise SpecError(
                "needs_counts",
                f"The dataset holds {index.meta['value_space']} values, so no counts can be made from its cells",
                fix="use a dataset of counts, or a season that takes log1p values",
            )
        self.dataset, self.index, self.columns = dataset, index, columns
        self.label = label_in(CONTROL, context)
        self.controls = find_controls(index, self.label)
        if self.controls.empty:
            raise SpecError("no_controls", f"The dataset has no cells of {self.label}", fix="use data with controls")
        self.n_genes = len(index.genes) if columns is None else len(columns)
        self.mean = np.asarray(index.means([self.label])[0], np.float64)[slice(None) if columns is None else columns]
        self.target_sum = float(index.meta["target_sums"][list(index.controls).index(self.label)])
        self._kept: Counts | None = None
        self.profile: Profile = self._measure(keep=int(self.controls["genes"].sum()) <= POOL_VALUES)

    def draw(self, wanted: Wanted, *, seed: int) -> np.ndarray:
        """(cells,) positions among the controls, sorted; more than once where there are fewer controls."""
        drawn = draw_controls(self.controls, wanted.n_cells, label=wanted.label, seed=seed)
        return self.controls.index.get_indexer(drawn.index)

    def take(self, positions: np.ndarray, used: np.ndarray) -> Counts:
        """Controls by their positions. used : of `Counts`"""
        if self._kept is not None:
            return replace(self._kept, rows=positions, used=used)
        own, rows = np.unique(positions, return_inverse=True)
        return _as_counts(vstack(list(self._read(own)), format="csr"), rows=rows, used=used)

    def _read(self, positions: np.ndarray | None = None) -> Iterator[csr_matrix]:
        """Blocks of stored counts, genes in order."""
        controls = self.controls if positions is None else self.controls.iloc[positions]
        for part in split_cells(controls, READ_VALUES):
            block = order_genes(self.dataset.read_rows(part["row"].to_numpy()), self.columns)
            check_counts(block.data)
            yield block

    def _measure(self, *, keep: bool) -> Profile:
        """One pass over the controls. keep : in memory, 4 bytes a value where counts and genes are below 2**16"""
        room = int(self.controls["genes"].sum()) if keep else 0
        data = np.empty(room, np.uint16)
        indices = np.empty(room, np.uint16 if self.n_genes <= 2**16 else np.int32)
        ends, totals, done = [np.zeros(1, np.int64)], [], 0

        def blocks() -> Iterator[csr_matrix]:
            nonlocal data, done
            for block in self._read():
                totals.append(np.asarray(block.sum(axis=1), np.float64).ravel())
                if keep:
                    if block.nnz and block.data.max() >= 2**16 and data.dtype == np.uint16:
                        data = data.astype(np.uint32)
                    data[done : done + block.nnz] = block.data
                    indices[done : done + block.nnz] = block.indices
                    ends.append(done + block.indptr[1:].astype(np.int64))
                    done += block.nnz
                yield block

        profile = measure_controls(blocks())
        self.totals = np.concatenate(totals)
        if keep:
            none = np.zeros(0, np.int64)
            self._kept = Counts(data, indices, np.concatenate(ends), self.totals, none, none > 0, self.n_genes)
        return profile


def _as_counts(block: csr_matrix, *, rows: np.ndarray, used: np.ndarray) -> Counts:
    totals = np.asarray(block.sum(axis=1), np.float64).ravel()
    data, ends = block.data.astype(np.uint32), block.indptr.astype(np.int64)
    return Counts(data, block.indices.astype(np.int32), ends, totals, rows, used, block.shape[1])


def copy_controls(pool: CountPool, wanted: Wanted, *, seed: int) -> Iterator[csr_matrix]:
    """The control cells themselves, in the file's order."""
    positions = pool.draw(wanted, seed=seed)
    as_it_is = Thinning.plan(pool.profile, pool.profile.share, scale=1.0)
    for numbers in _blocks(len(positions), pool.n_genes):
        counts = pool.take(positions[numbers], np.zeros(len(numbers), bool))
        yield thin_cells(counts, as_it_is, stream=Stream(seed, wanted.label, numbers))


def iter_counts(
    pool: CountPool, model: Predictor, cells: Sequence[Wanted], *, method: Method, seed: int, skip: int = 0
) -> Iterator[tuple[Wanted, csr_matrix]]:
    """Blocks of predicted cells, label by label in order; no two cells of a label are the same.

    A control label is predicted too: cells like the controls, none a copy.
    skip : so many of the first labels are left out; the others are as if they were not
    Raises SpecError for values that no cell can have.
    """
    if model.makes_cells:
        yield from _own_cells(pool, model, cells[skip:], seed=seed)
        return
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        pending: deque[tuple[Wanted, _Making, Future[csr_matrix]]] = deque()
        try:
            for wanted, making in _plan(pool, model, cells, method=method, seed=seed, skip=skip):
                for numbers in _blocks(wanted.n_cells, pool.n_genes):
                    make = partial(making.make, pool.take(making.positions[numbers], making.used[numbers]), numbers)
                    pending.append((wanted, making, threads.submit(make)))
                    if len(pending) > 2 * (os.cpu_count() or 1):
                        yield _finish(*pending.popleft())
            while pending:
                yield _finish(*pending.popleft())
        finally:
            for *_, future in pending:
                future.cancel()


def _finish(wanted: Wanted, making: "_Making", future: "Future[csr_matrix]") -> tuple[Wanted, csr_matrix]:
    return wanted, making.tell_apart(future.result())


def _plan(
    pool: CountPool, model: Predictor, cells: Sequence[Wanted], *, method: Method, seed: int, skip: int
) -> Iterator[tuple[Wanted, "_Making"]]:
    for first in range(skip - skip % PREDICTED_AT_ONCE, len(cells), PREDICTED_AT_ONCE):
        some = cells[first : first + PREDICTED_AT_ONCE]
        deltas = model.predict(
            [wanted.source for wanted in some]
        )  # whole: what else is predicted may alter last digits
        left = max(skip - first, 0)
        for wanted, delta in zip(some[left:], deltas[left:], strict=True):
            own = delta if pool.columns is None else delta[pool.columns]
            if not np.isfinite(own).all():
                raise SpecError(
                    "bad_cells",
                    f"The model's prediction of {wanted.label} has values that are not finite",
                    found=int(np.count_nonzero(~np.isfinite(own))),
                    fix="train it again",
                )
            share = pool.profile.shares(pool.mean, own, target_sum=pool.target_sum)
            yield wanted, _Making(pool, wanted, share, method=method, seed=seed)


class _Making:
    """How the cells of one label are made."""

    def __init__(self, pool: CountPool, wanted: Wanted, share: np.ndarray, *, method: Method, seed: int) -> None:
        self.pool, self.wanted, self.share, self.method, self.seed = pool, wanted, share, method, seed
        self.positions = pool.draw(wanted, seed=seed)
        self.used = np.zeros(len(self.positions), bool)
        self.used[1:] = self.positions[1:] == self.positions[:-1]
        if is_control(wanted.source):
            self.used[:] = True
        median = float(np.median(pool.totals[self.positions]))
        self.scale = wanted.depth / median if wanted.depth is not None and median > 0 else 1.0
        self.thinning = Thinning.plan(pool.profile, share, scale=self.scale)
        self.seen: set[int] = set()
        self.done = 0

    def make(self, controls: Counts, numbers: np.ndarray) -> csr_matrix:
        stream = Stream(self.seed, self.wanted.label, numbers)
        if self.method == "negative_binomial":
            depths = controls.totals[controls.rows] * self.scale
            return draw_cells(depths, self.share, self.pool.profile.dispersion, stream=stream)
        return thin_cells(controls, self.thinning, stream=stream)

    def tell_apart(self, block: csr_matrix) -> csr_matrix:
        """The next block of the label; cells that were there already are made again, with other random numbers."""
        for attempt in range(1, ATTEMPTS + 1):
            rows = _find_copies(block, self.seen)
            if not len(rows):
                break
            numbers = self.done + rows
            controls = self.pool.take(self.positions[numbers], np.ones(len(rows), bool))
            block = _with_rows(block, rows, self.make(controls, numbers + (attempt << 40)))
        self.seen.update(sign_cells(block).tolist())
        self.done += block.shape[0]
        return block


def _find_copies(block: csr_matrix, seen: set[int]) -> np.ndarray:
    """Rows that are as one before them, in the block or seen earlier."""
    there, copies = set(seen), []
    for row, sign in enumerate(sign_cells(block).tolist()):
        if sign in there:
            copies.append(row)
        there.add(sign)
    return np.array(copies, np.int64)


def _with_rows(block: csr_matrix, rows: np.ndarray, made: csr_matrix) -> csr_matrix:
    """`block` with other cells in some rows."""
    order = np.arange(block.shape[0])
    order[rows] = block.shape[0] + np.arange(len(rows))
    return vstack([block, made], format="csr")[order]


def _own_cells(
    pool: CountPool, model: Predictor, cells: Sequence[Wanted], *, seed: int
) -> Iterator[tuple[Wanted, csr_matrix]]:
    """Of a model that gives whole cells: its log1p values as counts, at the depth of their controls.

    Where it has fewer cells than are wanted, those that come again are thinned and deepened as controls would be.
    """
    as_it_is = Thinning.plan(pool.profile, pool.profile.share, scale=1.0)
    for wanted in cells:
        rng, seen, done = np.random.default_rng([seed, zlib.crc32(wanted.label.encode())]), set[int](), 0
        own = {wanted.source: wanted.n_cells}
        for _, made in iter_cells(pool.dataset, pool.index, model, own, seed=seed, predict_controls=True):
            block = order_genes(made.to_counts(rng), pool.columns)
            for attempt in range(1, ATTEMPTS + 1):
                rows = _find_copies(block, seen)
                if not len(rows):
                    break
                controls = _as_counts(block, rows=rows, used=np.ones(len(rows), bool))
                stream = Stream(seed, wanted.label, done + rows + (attempt << 40))
                block = _with_rows(block, rows, thin_cells(controls, as_it_is, stream=stream))
            seen.update(sign_cells(block).tolist())
            done += block.shape[0]
            yield wanted, block


def _blocks(n: int, n_genes: int) -> Iterator[np.ndarray]:
    """Numbers of the cells of each block."""
    at_once = max(1, ROOM // n_genes)
    for first in range(0, n, at_once):
        yield np.arange(first, min(first + at_once, n))
