"""Cells in states: every cell is in one, each state has its expression and its effects, and the truth says which."""

from pathlib import Path

import anndata as ad
import numpy as np

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, Columns, context_of, target_of
from vccapp.data.simulation.experiment import SimulationSpec, draw_simulation
from vccapp.data.simulation.simulate import simulate
from vccapp.data.simulation.states import put_in_states

SPEC = SimulationSpec(n_cells=2000, n_genes=120, n_perturbations=6, n_batches=2, n_states=2, weakest=0.5, seed=4)


def test_cells_of_a_state_show_its_own_truth(tmp_path: Path) -> None:
    out = simulate(SPEC, tmp_path / "cells.h5ad")
    cells, truth = ad.read_h5ad(out), np.load(tmp_path / "cells.truth" / "truth.npz")
    assert list(cells.obs) == ["target_gene", "guide_id", "batch", "state"] and cells.shape == (2000, 120)
    share = cells.X.toarray() / cells.X.sum(axis=1)
    means = {}
    for label in np.unique(truth["guide_perturbation"]):
        own = (cells.obs["target_gene"] == target_of(label)) & (cells.obs["state"] == context_of(label))
        means[label] = np.log(share[own.to_numpy()].mean(axis=0) + 1e-4)
    one, two = (means[f"{CONTROL}@state_{i}"] for i in (1, 2))
    assert (one - two).std() > 0.3
    effects = dict(zip(truth["perturbations"], truth["effects"], strict=True))
    found = []
    for target in sorted(set(cells.obs["target_gene"]) - {CONTROL}):
        here, there = f"{target}@state_1", f"{target}@state_2"
        measured = means[here] - means[f"{CONTROL}@state_1"]
        found.append([np.corrcoef(measured, effects[label])[0, 1] for label in (here, there)])
        gene = list(truth["genes"]).index(target)
        assert effects[here][gene] == effects[there][gene]
    assert np.mean(found, axis=0)[0] > np.mean(found, axis=0)[1] + 0.1


def test_states_are_contexts_when_the_file_is_opened(tmp_path: Path) -> None:
    dataset = open_dataset(simulate(SPEC, tmp_path / "cells.h5ad"), columns=Columns(context="state"))
    assert [context.name for context in dataset.schema.contexts] == ["state_1", "state_2"]


def test_without_states_nothing_changes() -> None:
    spec = SPEC.model_copy(update={"n_states": 1})
    truth = draw_simulation(spec)
    assert put_in_states(truth, spec) is truth and truth.states == ()
