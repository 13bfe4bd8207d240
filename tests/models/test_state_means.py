"""Mean baselines equal those of arc-state, `context_mean` and `perturb_mean`, on toy cells of two contexts.

Theirs were trained by tests/oracles/make_state_means.py.
"""

import numpy as np
import pytest
from oracles.make_state_means import CONTEXTS, FILE, LABELS, make_logs

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.splits.split import split_from_lists
from vccapp.models.base import make_model
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> list[Index]:
    folder = tmp_path_factory.mktemp("contexts")
    for context in CONTEXTS:
        make_logs(context).write_h5ad(folder / f"{context}.h5ad")
        build_index(open_dataset(folder / f"{context}.h5ad"), folder / context)
    return [load_index(folder / context) for context in CONTEXTS]


@pytest.mark.slow
def test_the_perturbation_mean_is_the_context_mean(screens: list[Index]) -> None:
    """As every perturbation has 50 cells: theirs is the mean over cells, ours over perturbations."""
    for index, expected in zip(screens, np.load(FILE)["context_mean"], strict=True):
        split = split_from_lists(name="s", dataset="0" * 16, train=LABELS)
        model = make_model("perturbation_mean").fit(index, split)
        np.testing.assert_allclose(index.control_mean + model.predict(["UNSEEN"])[0], expected, atol=1e-5)
        assert not model.predict([CONTROL]).any()
        assert np.abs(index.control_mean - expected).max() > 0.01


@pytest.mark.slow
def test_the_mean_effect_over_screens_is_the_perturb_mean(screens: list[Index]) -> None:
    """The deltas that `transfer` weighs; where no screen knows the perturbation, theirs is zero."""
    *expected, unseen = np.load(FILE)["perturb_mean"]
    deltas = np.mean([index.deltas(list(LABELS)) for index in screens], axis=0)
    np.testing.assert_allclose(deltas, expected, atol=1e-5)
    assert not unseen.any()
