"""Networks that earn their place: one that helps beats its baseline, one that does not says so early and ends.

Both on simulated cells. Where effects depend on the state of a cell, a network that sees the controls of each state can
know more than its baseline, which predicts the same deviations in all; where there is one state it cannot.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import Columns
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.data.splits.split import Split, make_split
from vccapp.evaluation.leaderboard.significance import compare_groups
from vccapp.evaluation.profiles import predicted_profiles, real_profiles
from vccapp.evaluation.scoring.score import compute_metrics
from vccapp.models.base import Model, make_model
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.training.validation import make_validation

SMALL = {"width": 256, "inner": 64, "code": 16, "batch_size": 128}
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


def fit(folder: Path, *, states: int) -> tuple[Index, Split, Model]:
    spec = SimulationSpec(
        seed=1, n_cells=4000, n_genes=120, n_perturbations=80, n_states=states, weakest=0.3, n_programmes=4
    )
    columns = Columns(context="state") if states > 1 else None
    build_index(open_dataset(simulate(spec, folder / "cells.h5ad"), columns=columns), folder / "index")
    index = load_index(folder / "index")
    split = make_split(index.perturbed, name="s", dataset="0" * 16, ratio=(0.6, 0.2, 0.2))
    params = SMALL | {"embedding": str(folder / "cells.truth" / "gene_embedding.npz")}
    model = make_model("scouter", params).fit(
        index, split, seed=0, validate=make_validation(index, split), device="cpu"
    )
    return index, split, model


def test_a_network_that_helps_is_not_given_up_and_beats_its_baseline(tmp_path: Path) -> None:
    index, split, model = fit(tmp_path, states=2)
    assert model.made is not None and not model.made.gave_up and not model.made.is_baseline
    real, labels = real_profiles(index, split.test), list(split.test)
    scores = {
        name: compute_metrics(real, predicted_profiles(index, own.predict(labels), labels), ["pearson_delta"])
        for name, own in (("network", model), ("baseline", model.parts()["ridge"]))
    }
    table = pd.DataFrame({name: own["pearson_delta"] for name, own in scores.items()})
    [found] = compare_groups(table, "baseline").to_dict("records")
    assert found["difference"] > 0 and found["p"] < 0.001


def test_one_that_does_not_help_ends_as_its_baseline_within_a_tenth(tmp_path: Path) -> None:
    index, split, model = fit(tmp_path, states=1)
    assert model.made is not None and model.made.gave_up and model.made.is_baseline
    assert 10 * model.made.steps <= model.spec.epochs * model.spec.epoch_steps
    labels = list(split.test)
    np.testing.assert_allclose(model.predict(labels), model.parts()["ridge"].predict(labels), atol=1e-6)
