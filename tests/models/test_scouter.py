"""The Scouter model: its start, its memory of itself, what it refuses, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.errors import SpecError
from vccapp.models.base import Model, load_model, make_model
from vccapp.models.parts.residual import fit_share
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"width": 32, "inner": 16, "code": 8, "batch_size": 32, "embedding": "expression", "epoch_steps": 1}
LABELS = [f"GENE{i}" for i in range(8)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("scouter")
    make_counts(n_cells=700, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture
def split() -> Split:
    return split_from_lists(name="s", dataset="0" * 16, train=LABELS[:5], val=LABELS[5:6], test=LABELS[6:])


def fit(index: Index, split: Split, **params) -> Model:
    return make_model("scouter", SMALL | params).fit(index, split, seed=3, device="cpu")


@pytest.mark.parametrize("baseline", ["perturbation_mean", "ridge"])
@pytest.mark.parametrize("genes", [20, 0])
def test_it_starts_at_its_baseline(index: Index, split: Split, baseline: str, genes: int) -> None:
    """A learning rate too small to move anything leaves the prediction of the baseline, over all genes."""
    model = fit(index, split, baseline=baseline, genes=genes, steps=1, learning_rate=1e-12)
    params = {"embedding": "expression"} if baseline == "ridge" else {}
    expected = make_model(baseline, params).fit(index, split, seed=3)
    np.testing.assert_allclose(model.predict(LABELS), expected.predict(LABELS), atol=1e-6)
    assert len(model.modelled) in ((60,) if genes == 0 else (20, 21))


def test_it_adds_as_much_as_held_out_effects_say(index: Index, split: Split) -> None:
    model = make_model("scouter", SMALL | {"epochs": 2})
    model.fit(index, split, device="cpu", validate=lambda deltas: {"val_pearson_delta": float(deltas.std())})
    base, predicted = model.baseline.predict(split.val), model.predict(split.val)
    assert fit_share(index, split.val, base, predicted) == pytest.approx(1, abs=1e-3)  # it is scaled already


@pytest.mark.parametrize("faithful", [True, False])
def test_a_saved_model_predicts_the_same(index: Index, split: Split, faithful: bool, tmp_path: Path) -> None:
    model = fit(index, split, genes=20, epochs=2, faithful=faithful)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model", genes=index.genes["gene"].tolist())
    labels = [*LABELS, "GENE1+GENE2", "UNKNOWN"]
    np.testing.assert_allclose(again.predict(labels), model.predict(labels), atol=1e-6)
    assert again.coverage(["GENE1", "UNKNOWN"])["n_known"].tolist() == [1, 0]


@pytest.mark.slow
def test_it_learns_the_effects_it_sees(index: Index, split: Split) -> None:
    """As the original, on the perturbations that it was trained on; the seed decides everything."""
    params = {"faithful": True, "genes": 0, "epochs": 30, "direction": 0.0, "patience": 0, "learning_rate": 3e-3}
    model = fit(index, split, **params)
    real, found = index.deltas(split.train), model.predict(split.train)
    assert np.corrcoef(real.ravel(), found.ravel())[0, 1] > 0.7
    np.testing.assert_array_equal(fit(index, split, **params).predict(LABELS), model.predict(LABELS))


def test_held_out_cells_decide_nothing_without_a_val_part(index: Index, split: Split) -> None:
    """Other cells of held-out perturbations, other labels of them: the same weights."""
    alone = split_from_lists(name="t", dataset="0" * 16, train=split.train)
    other = split_from_lists(name="t", dataset="0" * 16, train=split.train, test=split.test)
    first, second = (fit(index, part, epochs=2).predict(LABELS) for part in (alone, other))
    np.testing.assert_array_equal(first, second)


def test_every_term_and_every_score_is_logged(index: Index, split: Split) -> None:
    lines: list[dict[str, float]] = []
    make_model("scouter", SMALL | {"epochs": 2}).fit(
        index,
        split,
        log=lines.append,
        device="cpu",
        validate=lambda deltas: {"val_pearson_delta": float(deltas.mean())},
    )
    assert {"step", "loss", "autofocus", "direction", "learning_rate"} == set(lines[1])
    validations = [line for line in lines if "val_loss" in line]
    assert len(validations) == 3 and set(validations[0]) == {"step", "val_loss", "val_gain", "val_pearson_delta"}
    weighted = [line["autofocus"] + 0.01 * line["direction"] for line in lines if "loss" in line]
    assert weighted == pytest.approx([line["loss"] for line in lines if "loss" in line], rel=1e-5)


def test_further_losses_of_cells_are_learnt_from(index: Index, split: Split) -> None:
    lines: list[dict[str, float]] = []
    model = make_model("scouter", SMALL | {"epochs": 1, "loss": "autofocus + 0.5*pseudobulk_mae"})
    model.fit(index, split, log=lines.append, device="cpu")
    terms = next(line for line in lines if "loss" in line)
    expected = terms["autofocus"] + 0.5 * terms["pseudobulk_mae"] + 0.01 * terms["direction"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


def test_targets_of_two_genes_are_a_sum(index: Index, split: Split) -> None:
    model = fit(index, split, epochs=1)
    one, two, both = model._vectors(["GENE1", "GENE2", "GENE1+GENE2"])
    np.testing.assert_allclose(both, one + two, rtol=1e-5)
    assert both[-1] == 2


def test_the_estimate_grows_with_the_work(index: Index, split: Split) -> None:
    def estimate(**params) -> tuple[float, int]:
        found = make_model("scouter", params).estimate(index, split, memory_bytes=4 * 10**9)
        return found.seconds, found.memory_bytes

    small, long, wide = estimate(), estimate(epochs=400), estimate(width=20_000)
    assert long[0] > 5 * small[0] and long[1] == small[1] and wide[1] > small[1] and wide[0] > small[0]
    assert "million weights" in make_model("scouter").estimate(index, split, memory_bytes=4 * 10**9).text


def test_a_network_is_no_baseline(index: Index, split: Split) -> None:
    with refusal(SpecError, "network_as_baseline"):
        fit(index, split, baseline="scouter")


def test_a_gene_without_a_vector_is_told_if_asked(index: Index, split: Split) -> None:
    model = fit(index, split, epochs=1, missing="error")
    with refusal(SpecError, "no_vector"):
        model.predict(["UNKNOWN"])
