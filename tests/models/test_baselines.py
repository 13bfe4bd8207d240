"""The baselines give their formulas, learn from training perturbations alone, and survive a save."""

import json
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from scipy.sparse import csr_matrix
from toy_index import ToyIndex

from vccapp.data.schema import CONTROL
from vccapp.data.splits.split import Split
from vccapp.errors import DataError, SpecError
from vccapp.models.base import MODELS, Model, load_model, make_model

GENES = [f"G{i}" for i in range(8)]
LABELS = ["G0", "G1", "G2", "G3+G4", "G5", "DRUG", "G6"]
BASELINES = ["control_mean", "perturbation_mean", "knockdown_mean"]
SPLIT = Split(
    name="s",
    dataset="0" * 16,
    method="lists",
    seed=0,
    train=("G0", "G1", "G3+G4"),
    val=("G2",),
    test=("G5", "DRUG", "G6"),
)


def make_index(**changed: np.ndarray) -> ToyIndex:
    """Pseudobulks with each target at 0.2 of its control level (in counts); `changed` replaces some by label."""
    rng = np.random.default_rng(0)
    control = rng.uniform(0.5, 2, len(GENES))
    means = np.vstack([control, control + rng.normal(0, 0.2, (len(LABELS), len(GENES)))])
    for row, label in enumerate(LABELS, start=1):
        for gene in label.split("+"):
            if gene in GENES:
                means[row, GENES.index(gene)] = np.log1p(0.2 * np.expm1(control[GENES.index(gene)]))
    for label, values in changed.items():
        means[1 + LABELS.index(label)] = values
    return ToyIndex(LABELS, GENES, means=means)


@pytest.fixture
def index() -> ToyIndex:
    return make_index()


def fitted(name: str, index: ToyIndex) -> Model:
    return make_model(name).fit(index, SPLIT)


def everything(model: Model) -> dict[str, np.ndarray]:
    state = model.state()
    return {**state.arrays, **{key: np.array(value) for key, value in state.meta.items()}}


def test_the_registry_finds_the_baselines() -> None:
    assert set(BASELINES) <= set(MODELS)
    assert all(MODELS[name].name == name for name in MODELS)


def test_control_mean_predicts_no_change(index: ToyIndex) -> None:
    assert not fitted("control_mean", index).predict(LABELS).any()


def test_perturbation_mean_weighs_training_perturbations_equally(index: ToyIndex) -> None:
    predicted = fitted("perturbation_mean", index).predict(["G5", "UNSEEN"])
    expected = index.deltas(SPLIT.train).mean(axis=0)
    np.testing.assert_allclose(predicted, [expected, expected], rtol=1e-5)


def test_knockdown_mean_sets_the_targets(index: ToyIndex) -> None:
    model = fitted("knockdown_mean", index)
    assert model.residual == pytest.approx(0.2, rel=1e-5)
    mean = fitted("perturbation_mean", index).predict(["any"])[0]
    single, double, none = model.predict(["G5", "G2+G6", "DRUG"])
    np.testing.assert_allclose(single[5], index.delta("G5")[5], rtol=1e-4)
    np.testing.assert_allclose(double[[2, 6]], [index.delta("G2")[2], index.delta("G6")[6]], rtol=1e-4)
    np.testing.assert_array_equal(np.delete(single, 5), np.delete(mean, 5))
    np.testing.assert_array_equal(np.delete(double, [2, 6]), np.delete(mean, [2, 6]))
    np.testing.assert_array_equal(none, mean)


@pytest.mark.parametrize("average", ["median", "shrunken"])
def test_other_averages_are_by_gene_over_training_perturbations(average: str, index: ToyIndex) -> None:
    rows = index.deltas(SPLIT.train).astype(np.float64)
    mean, noise = rows.mean(axis=0), rows.var(axis=0, ddof=1) / len(rows)
    expected = {"median": np.median(rows, axis=0), "shrunken": mean * np.clip(1 - noise / mean**2, 0, None)}[average]
    model = make_model("knockdown_mean", {"average": average}).fit(index, SPLIT)
    target, others = GENES.index("G5"), [gene for gene in range(len(GENES)) if GENES[gene] != "G5"]
    found, usual = model.predict(["G5"])[0], fitted("knockdown_mean", index).predict(["G5"])[0]
    np.testing.assert_allclose(found[others], expected[others], atol=1e-6)
    assert found[target] == usual[target] and not np.allclose(found[others], usual[others], atol=1e-3)
    assert average == "median" or (np.abs(found[others]) <= np.abs(mean[others]) + 1e-6).all()


def test_coverage_tells_what_is_not_known(index: ToyIndex) -> None:
    frame = fitted("knockdown_mean", index).coverage(["G5", "G1", "G2+NONE", "DRUG", CONTROL])
    assert frame["n_targets"].tolist() == [1, 1, 2, 1, 0]
    assert frame["n_known"].tolist() == [1, 1, 1, 0, 0]
    assert frame["trained"].tolist() == [False, True, False, False, False]


def test_knockdown_mean_without_a_target_to_learn_from_is_refused(index: ToyIndex) -> None:
    model = make_model("knockdown_mean", {"min_control_mean": 50})
    with refusal(SpecError, "no_measured_target"):
        model.fit(index, SPLIT)


@pytest.mark.parametrize("name", BASELINES)
def test_held_out_pseudobulks_cannot_change_the_fit(name: str, index: ToyIndex) -> None:
    wild = np.full(len(GENES), 9.0)
    other = make_index(**dict.fromkeys((*SPLIT.val, *SPLIT.test), wild))
    changed = make_index(G0=wild)
    here, there, elsewhere = (everything(fitted(name, i)) for i in (index, other, changed))
    for key, learnt in here.items():
        np.testing.assert_array_equal(learnt, there[key])
    assert not here or any((here[key] != elsewhere[key]).any() for key in here)


@pytest.mark.parametrize("name", BASELINES)
def test_predict_takes_any_labels(name: str, index: ToyIndex) -> None:
    model = fitted(name, index)
    assert model.predict([]).shape == (0, len(GENES))
    predicted = model.predict(["G0", "A+B", CONTROL, "G0"])
    assert predicted.dtype == np.float32 and predicted.shape == (4, len(GENES))
    np.testing.assert_array_equal(predicted[0], predicted[3])
    assert not predicted[2].any()


@pytest.mark.parametrize("name", BASELINES)
def test_a_saved_model_predicts_the_same(name: str, index: ToyIndex, tmp_path: Path) -> None:
    model = fitted(name, index)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", genes=GENES)
    np.testing.assert_array_equal(loaded.predict(LABELS), model.predict(LABELS))
    np.testing.assert_array_equal(loaded.control_means.rows, model.control_means.rows)
    assert loaded.spec == model.spec and loaded.trained_on == model.trained_on
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["model.json", "state.safetensors"]
    assert {"name", "spec", "genes_hash", "vccapp"} <= set(json.loads((tmp_path / "model" / "model.json").read_text()))


def test_a_model_of_other_genes_is_refused(index: ToyIndex, tmp_path: Path) -> None:
    fitted("control_mean", index).save(tmp_path / "model")
    with refusal(DataError, "model_genes"):
        load_model(tmp_path / "model", genes=GENES[::-1])


def test_a_damaged_model_is_refused(index: ToyIndex, tmp_path: Path) -> None:
    fitted("perturbation_mean", index).save(tmp_path)
    record = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "state.safetensors").write_bytes(b"\x80\x04 not tensors")
    with refusal(DataError, "file_damaged"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(record | {"genes": GENES[1:]}))
    with refusal(DataError, "file_damaged"):
        load_model(tmp_path)


def test_wrong_choices_are_one_sentence() -> None:
    with refusal(SpecError, "unknown_name"):
        make_model("x")
    with refusal(SpecError, "bad_parameter"):
        make_model("knockdown_mean", {"min": 1})
    with refusal(SpecError, "bad_parameter"):
        make_model("knockdown_mean", {"min_control_mean": -1})


def test_cells_have_the_predicted_pseudobulk(index: ToyIndex) -> None:
    rng = np.random.default_rng(0)
    controls = csr_matrix(rng.exponential(index.control_mean, (400, len(GENES))).astype(np.float32))
    model = fitted("knockdown_mean", index)
    cells = model.cells("G5", controls)
    assert cells.shape == controls.shape
    expected = np.maximum(index.control_mean + model.predict(["G5"])[0], 0)
    np.testing.assert_allclose(np.asarray(cells.mean(axis=0)).ravel(), expected, atol=1e-3)
