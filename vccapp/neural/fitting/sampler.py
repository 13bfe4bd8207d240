"""Which cells go into each training step: samplers without a state, so that a run is resumed by its step number alone.

    cells = read_cells(index, split.train)
    pairs = PairSampler(cells, batch_size=256, seed=0)
    sets = SetSampler(cells, n_sets=16, set_size=128, seed=0)
    pairs.batch(step), sets.batch(step)           # row numbers; the same step, the same rows, in any order of calls

An epoch shows every cell of the training perturbations once (a set's last cells may come twice); the order, the pairs
and the sets are drawn anew in each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np

from vccapp.data.schema import control_of, positions_of
from vccapp.errors import SpecError
from vccapp.stats.index import Index

Mapping = Literal["random", "batch"]
"""Where a cell's control comes from: anywhere in its context, or its own batch (anywhere where that has none)."""


@dataclass(frozen=True)
class Cells:
    """Who is who among the cells of a dataset, as far as training may see them."""

    labels: tuple[str, ...]  # the controls of each context first
    control: np.ndarray  # (labels,) int32 position in `labels` of the controls of its context
    label: np.ndarray  # (n_cells,) int32 position in `labels`; -1: never seen
    batch: np.ndarray  # (n_cells,) int32
    n_batches: int

    def of(self, label: int) -> np.ndarray:
        """Rows of one label."""
        return np.flatnonzero(self.label == label)

    @property
    def n_contexts(self) -> int:
        """The first so many labels are controls."""
        return int(self.control.max()) + 1


@dataclass(frozen=True)
class Pairs:
    """A step of cells with a control each: rows (B,), and the label (B,) of the perturbed one."""

    cells: np.ndarray
    controls: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Sets:
    """A step of sets: rows (B, S) of cells and of controls, and the label (B,) of each set."""

    cells: np.ndarray
    controls: np.ndarray
    label: np.ndarray


Drawn = TypeVar("Drawn", Pairs, Sets)


def take_share(step: Drawn, rank: int, ranks: int) -> Drawn:
    """What one of several processes takes of a step. Raises SpecError where one of them would get nothing."""
    if ranks > len(step.label):
        raise SpecError(
            "too_many_devices",
            f"{ranks} processes cannot split a step of {len(step.label)} items",
            fix="choose fewer devices or more items",
        )
    own = slice(rank, None, ranks)
    return replace(step, cells=step.cells[own], controls=step.controls[own], label=step.label[own])


def read_cells(index: Index, perturbations: Sequence[str]) -> Cells:
    """The controls and the cells of `perturbations`. Raises SpecError when one of them is unknown."""
    labels = (*index.controls, *perturbations)
    index.rows(list(labels))
    table = index.cells
    position = positions_of(labels)
    control = np.array([position[control_of(label)] for label in labels], np.int32)
    label = table["perturbation"].astype(object).map(position).fillna(-1).to_numpy(np.int32)
    codes, names = table["batch"].factorize(sort=True)
    return Cells(labels, control, label, codes.astype(np.int32), len(names))


class _Sampler:
    """Draws that depend on the seed and one number: that of an epoch or of a step."""

    def __init__(self, cells: Cells, *, mapping: Mapping, seed: int) -> None:
        self.cells = cells
        self.mapping = mapping
        self.seed = seed
        self._controls = [cells.of(context) for context in range(cells.n_contexts)]
        if not all(map(len, self._controls)):
            raise SpecError(
                "no_controls",
                "The dataset has no control cells to start from",
                fix="use a dataset with control cells",
            )
        self._of_batch = {
            (context, batch): own if len(own) else rows
            for context, rows in enumerate(self._controls)
            for batch in np.unique(cells.batch[cells.label >= 0])
            for own in [rows[cells.batch[rows] == batch]]
        }

    def _rng(self, what: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, what, number))

    def _draw_controls(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A control for each of the cells `rows`, of any shape, drawn with replacement."""
        if self.mapping == "random" and len(self._controls) == 1:
            return self._controls[0][rng.integers(0, len(self._controls[0]), rows.shape)]
        contexts, batches = self.cells.control[self.cells.label[rows]], self.cells.batch[rows]
        controls = np.empty(rows.shape, np.int64)
        if self.mapping == "random":
            for context in np.unique(contexts):
                here = contexts == context
                controls[here] = rng.choice(self._controls[context], int(here.sum()))
            return controls
        for batch in np.unique(batches):  # a batch is of one context
            here = batches == batch
            controls[here] = rng.choice(self._of_batch[contexts[here][0], batch], int(here.sum()))
        return controls


class PairSampler(_Sampler):
    """Perturbed cells, each with one control; an incomplete last step of an epoch is left out.

    fixed : as the original Scouter has it: the controls, repeated to the number of perturbed cells and shuffled once,
        give each cell the same control in every epoch
    """

    def __init__(
        self, cells: Cells, *, batch_size: int, seed: int, mapping: Mapping = "random", fixed: bool = False
    ) -> None:
        super().__init__(cells, mapping=mapping, seed=seed)
        self._rows = np.flatnonzero(cells.label >= cells.n_contexts)
        if not len(self._rows):
            raise SpecError(
                "no_training_cells",
                "None of the training perturbations has a cell",
                fix="choose another split",
            )
        self.batch_size = min(batch_size, len(self._rows))
        self.steps_per_epoch = len(self._rows) // self.batch_size
        self._fixed = None
        if fixed:
            rng, contexts = self._rng(0, 0), cells.control[cells.label[self._rows]]
            self._fixed = np.empty(len(self._rows), np.int64)
            for context, controls in enumerate(self._controls):
                here = contexts == context
                self._fixed[here] = rng.permutation(np.resize(controls, int(here.sum())))
        self._order = lru_cache(2)(lambda epoch: self._rng(1, epoch).permutation(len(self._rows)))

    def batch(self, step: int) -> Pairs:
        epoch, place = divmod(step, self.steps_per_epoch)
        chosen = self._order(epoch)[place * self.batch_size : (place + 1) * self.batch_size]
        rows = self._rows[chosen]
        controls = self._draw_controls(rows, self._rng(2, step)) if self._fixed is None else self._fixed[chosen]
        return Pairs(rows, controls, self.cells.label[rows])


class SetSampler(_Sampler):
    """Sets of cells of one perturbation (and of one batch, with mapping `batch`), each with as many controls.

    Every group is shuffled in each epoch and cut into sets; the last is filled up with others of its group, so that no
    cell is twice in a set unless the group is smaller than that.

    with_controls : sets of controls are items too, with other controls as their input and themselves as their target
    """

    def __init__(
        self,
        cells: Cells,
        *,
        n_sets: int,
        set_size: int,
        seed: int,
        mapping: Mapping = "random",
        with_controls: bool = True,
    ) -> None:
        super().__init__(cells, mapping=mapping, seed=seed)
        self.set_size = set_size
        key = cells.label.astype(np.int64)
        if mapping == "batch":
            key = np.where(key < 0, key, key * cells.n_batches + cells.batch)
        key[cells.label < (0 if with_controls else cells.n_contexts)] = -1
        order = np.argsort(key, kind="stable")
        _, starts = np.unique(key[order], return_index=True)
        groups = np.split(order, starts[1:])
        self._groups = [group for group in groups if key[group[0]] >= 0]
        if not self._groups:
            raise SpecError(
                "no_training_cells",
                "None of the training perturbations has a cell",
                fix="choose another split",
            )
        total = sum(-(-len(group) // set_size) for group in self._groups)
        self.n_sets = min(n_sets, total)
        self.steps_per_epoch = total // self.n_sets
        self._sets = lru_cache(2)(self._draw_sets)

    def _draw_sets(self, epoch: int) -> np.ndarray:
        """(sets, set_size) rows in the order of the epoch."""
        rng = self._rng(1, epoch)
        sets = []
        for group in self._groups:
            n_sets = -(-len(group) // self.set_size)
            sets.append(np.resize(rng.permutation(group), (n_sets, self.set_size)))
        return rng.permutation(np.concatenate(sets))

    def batch(self, step: int) -> Sets:
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._sets(epoch)[place * self.n_sets : (place + 1) * self.n_sets]
        return Sets(rows, self._draw_controls(rows, self._rng(2, step)), self.cells.label[rows[:, 0]])
