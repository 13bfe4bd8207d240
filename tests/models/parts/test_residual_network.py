"""What networks on a baseline share, and the facts that every model states of itself."""

import numpy as np
import pytest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.errors import DataError, SpecError
from vccapp.models.base import MODELS, Made, make_model
from vccapp.models.parts.residual import make_baseline
from vccapp.models.parts.residual_network import ResidualNetwork, draw_controls
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.cells.matrix import cells_memory, matrix_bytes
from vccapp.stats.index import Index, load_index
from vccapp.training.fit import estimate_fit

NETWORKS = ["scouter", "state"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("networks")
    make_counts(n_cells=300, n_perturbations=4).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture
def split() -> Split:
    return split_from_lists(name="s", dataset="0" * 16, train=["GENE0", "GENE1"], val=["GENE2"], test=["GENE3"])


@pytest.mark.parametrize("name", list(MODELS))
def test_models_state_facts_of_themselves(name: str) -> None:
    model = MODELS[name]
    assert model.is_network == (issubclass(model, ResidualNetwork) or model is MODELS["state_official"])
    assert not (model.is_network and model.may_be_baseline)
    assert not model.takes_embedding or "embedding" in model.Spec.model_fields
    assert set(model.least_squares) <= set(model.Spec.model_fields)
    if model.may_be_baseline:
        made = make_baseline(name, embedding="expression")
        assert getattr(made.spec, "embedding", None) == "expression" or not model.takes_embedding
    else:
        with pytest.raises(SpecError) as refused:
            make_baseline(name, embedding="expression")
        assert refused.value.code == ("network_as_baseline" if model.is_network else "not_a_baseline")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_estimate_counts_the_cells_that_the_fit_will_hold(name: str, index: Index, split: Split) -> None:
    model, size = make_model(name, {"genes": 0}), matrix_bytes(index, 60)
    assert cells_memory(3 * size) == size
    held, mapped = (model.estimate(index, split, memory_bytes=limit).memory_bytes for limit in (3 * size, 3 * size - 1))
    assert held - mapped == size


@pytest.mark.parametrize("name", NETWORKS)
def test_processes_plan_with_their_part_of_the_memory(
    name: str, index: Index, split: Split, settings: Settings
) -> None:
    size = matrix_bytes(index, 60)
    few = settings.model_copy(update={"memory_gb": 4 * size / 1e9})
    model = make_model(name, {"genes": 0})
    one, two = (estimate_fit(model, index, split, few, ranks=ranks).memory_bytes for ranks in (1, 2))
    assert two == 2 * (one - size)  # the half of each is too little for the cells


def test_controls_are_drawn_once_each() -> None:
    rows = np.arange(10, 30)
    drawn = draw_controls(rows, 8, seed=1)
    assert len(set(drawn.tolist())) == 8 and set(drawn) <= set(rows)
    assert sorted(draw_controls(rows, 99, seed=1)) == rows.tolist()
    with pytest.raises(DataError) as told:
        draw_controls(rows[:0], 8, seed=1)
    assert told.value.code == "no_controls"


@pytest.mark.parametrize(
    ("best_step", "share", "baseline", "expected"),
    [(0, 1.0, "ridge", True), (8, 0.0, "ridge", True), (8, 0.3, "ridge", False), (None, 1.0, "ridge", False)]
    + [(0, 1.0, "", False)],
)
def test_a_network_that_adds_nothing_is_its_baseline(
    best_step: int | None, share: float, baseline: str, expected: bool
) -> None:
    assert Made(steps=10, best_step=best_step, share=share, baseline=baseline).is_baseline == expected
