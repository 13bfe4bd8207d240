"""Samplers: what a step sees, that every cell is seen, and that a step depends on nothing but its number."""

import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from toy_index import ToyIndex

from vccapp.errors import SpecError
from vccapp.neural.fitting.sampler import Cells, PairSampler, SetSampler, read_cells

CONTROLS = 0
"""Their place among the labels, where there is one context."""


def make_cells(n_cells: int = 400, *, seed: int = 0) -> Cells:
    """A control label, two perturbations and cells that training must not see; batch 2 has no control."""
    rng = np.random.default_rng(seed)
    label = rng.choice([-1, 0, 1, 2], n_cells, p=[0.1, 0.3, 0.4, 0.2]).astype(np.int32)
    batch = rng.integers(0, 3, n_cells).astype(np.int32)
    batch[(label == CONTROLS) & (batch == 2)] = 0
    return Cells(("non-targeting", "A", "B"), np.zeros(3, np.int32), label, batch, 3)


@pytest.mark.parametrize("kind", ["object", "category"])
def test_cells_are_told_by_their_label(kind: str) -> None:
    index = ToyIndex(["A", "B", "C"], ["G"])
    labels = pd.Series(["C", "non-targeting", "A", "B", "C", "non-targeting"], dtype=kind)
    index.cells = pd.DataFrame({"perturbation": labels, "batch": pd.Series(list("yxyxzz"), dtype=kind)})
    cells = read_cells(index, ["C", "A"])
    assert cells.labels == ("non-targeting", "C", "A") and cells.n_batches == 3
    assert cells.label.tolist() == [1, 0, 2, -1, 1, 0] and cells.batch.tolist() == [1, 0, 1, 0, 2, 2]
    assert cells.of(1).tolist() == [0, 4]


def test_pairs_show_each_perturbed_cell_once_an_epoch() -> None:
    cells = make_cells()
    sampler = PairSampler(cells, batch_size=7, seed=1)
    for epoch in range(2):
        steps = [sampler.batch(epoch * sampler.steps_per_epoch + i) for i in range(sampler.steps_per_epoch)]
        rows = np.concatenate([step.cells for step in steps])
        assert len(set(rows.tolist())) == len(rows) == (cells.label > 0).sum() // 7 * 7
        for step in steps:
            np.testing.assert_array_equal(step.label, cells.label[step.cells])
            assert (step.label > 0).all() and (cells.label[step.controls] == CONTROLS).all()


@pytest.mark.parametrize("kind", ["pairs", "fixed pairs", "sets", "sets by batch"])
def test_a_step_depends_on_its_number_alone(kind: str) -> None:
    def make() -> PairSampler | SetSampler:
        if "pairs" in kind:
            return PairSampler(make_cells(), batch_size=9, seed=3, fixed="fixed" in kind)
        return SetSampler(make_cells(), n_sets=3, set_size=16, seed=3, mapping="batch" if "batch" in kind else "random")

    forward = {step: make().batch(step) for step in range(60)}
    sampler = make()
    for step in reversed(range(60)):
        again = sampler.batch(step)
        for name in ("cells", "controls", "label"):
            np.testing.assert_array_equal(getattr(forward[step], name), getattr(again, name))
    assert not np.array_equal(forward[0].cells, forward[sampler.steps_per_epoch].cells)


def test_fixed_pairs_stay_and_fresh_ones_change() -> None:
    def controls_of(sampler: PairSampler, epoch: int) -> dict[int, int]:
        steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
        batches = [sampler.batch(step) for step in steps]
        return {int(c): int(x) for batch in batches for c, x in zip(batch.cells, batch.controls, strict=True)}

    def share_kept(sampler: PairSampler) -> float:
        first, second = controls_of(sampler, 0), controls_of(sampler, 1)
        return np.mean([first[cell] == second[cell] for cell in first.keys() & second.keys()])

    cells = make_cells()
    assert share_kept(PairSampler(cells, batch_size=10, seed=0, fixed=True)) == 1
    assert share_kept(PairSampler(cells, batch_size=10, seed=0)) < 0.1
    used = np.bincount(list(controls_of(PairSampler(cells, batch_size=1, seed=0, fixed=True), 0).values()))
    assert np.ptp(used[cells.of(CONTROLS)]) <= 1  # repeated evenly


def test_controls_come_from_the_cells_own_batch() -> None:
    cells = make_cells()
    sampler = SetSampler(cells, n_sets=4, set_size=8, seed=0, mapping="batch")
    seen = set()
    for step in range(sampler.steps_per_epoch):
        sets = sampler.batch(step)
        for rows, controls in zip(sets.cells, sets.controls, strict=True):
            assert len(set(cells.batch[rows])) == 1 and len(set(cells.label[rows])) == 1
            batch = cells.batch[rows[0]]
            seen.add(batch)
            assert (cells.label[controls] == CONTROLS).all()
            if batch != 2:
                assert (cells.batch[controls] == batch).all()
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("with_controls", [True, False])
def test_sets_show_every_cell_and_none_twice_in_a_set(with_controls: bool) -> None:
    cells = make_cells()
    sampler = SetSampler(cells, n_sets=1, set_size=32, seed=0, with_controls=with_controls)
    sets = [sampler.batch(step) for step in range(sampler.steps_per_epoch)]
    rows = np.concatenate([part.cells for part in sets])
    wanted = np.flatnonzero(cells.label >= (0 if with_controls else 1))
    np.testing.assert_array_equal(np.unique(rows), wanted)
    assert all(len(set(row.tolist())) == 32 for row in rows)
    labels = np.concatenate([part.label for part in sets])
    np.testing.assert_array_equal(cells.label[rows], np.tile(labels[:, None], 32))


def test_a_small_group_repeats_its_cells_evenly() -> None:
    cells = Cells(
        ("non-targeting", "A"), np.zeros(2, np.int32), np.array([0, 0, 1, 1, 1], np.int32), np.zeros(5, np.int32), 1
    )
    sets = SetSampler(cells, n_sets=1, set_size=7, seed=0, with_controls=False).batch(0)
    assert sorted(np.bincount(sets.cells[0])[2:]) == [2, 2, 3]


def test_what_cannot_be_sampled_is_told() -> None:
    none = np.zeros(3, np.int32)
    with refusal(SpecError, "no_controls"):
        PairSampler(Cells(("non-targeting", "A"), np.zeros(2, np.int32), none + 1, none, 1), batch_size=2, seed=0)
    for make in (
        lambda cells: PairSampler(cells, batch_size=2, seed=0),
        lambda cells: SetSampler(cells, n_sets=1, set_size=2, seed=0, with_controls=False),
    ):
        with refusal(SpecError, "no_training_cells"):
            make(Cells(("non-targeting", "A"), np.zeros(2, np.int32), none, none, 1))
