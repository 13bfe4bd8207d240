"""STATE's ST on toy cells: it starts at its baseline, learns, is resumed, saved, and says what it does not know."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refusal
from scipy.sparse import csr_matrix
from toy import make_counts
from toy_index import ToyIndex

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.errors import SpecError, Stopped
from vccapp.models.base import load_model, make_model
from vccapp.models.parts.residual import cross_fit, fit_share
from vccapp.models.perturbation_mean import PerturbationMean
from vccapp.models.state import State
from vccapp.neural.state.shape import PRESETS
from vccapp.neural.state.task import SetBatch, SetTask
from vccapp.stats.building.build import build_index
from vccapp.stats.cells.embedding import write_pca
from vccapp.stats.index import Index, load_index
from vccapp.training.validation import make_validation

TINY = {"set_size": 8, "sets": 4, "genes": 20, "embedding": "expression", "steps": 30, "validate_every": 10}
SMALL = {"width": 32, "inner": 64, "n_layers": 1, "n_heads": 2, "head_width": 16, "depth": 2, "encoder_depth": 2}
TRAIN, VAL, TEST = [f"GENE{i}" for i in range(6)], ["GENE6"], ["GENE7"]


@pytest.fixture(scope="module", autouse=True)
def small_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "xs", SMALL)
        yield


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("index")
    make_counts(500, 40, 8, seed=1).write_h5ad(folder / "toy.h5ad")
    build_index(open_dataset(folder / "toy.h5ad"), folder / "index")
    return load_index(folder / "index")


@pytest.fixture(scope="module")
def split() -> Split:
    return split_from_lists(name="s", dataset="d", train=TRAIN, val=VAL, test=TEST)


def fit(index: Index, split: Split, *, options: dict | None = None, **changes: object) -> State:
    return make_model("state", TINY | changes).fit(index, split, device="cpu", **(options or {}))


@pytest.fixture(scope="module")
def model(index: Index, split: Split) -> State:
    return fit(index, split)


@pytest.mark.slow
def test_an_untrained_network_predicts_its_baseline(index: Index, split: Split) -> None:
    model = fit(index, split, steps=1, learning_rate=1e-30, dropout=0)
    baseline = make_model("ridge", {"embedding": "expression"}).fit(index, split)
    labels = [*VAL, *TEST]
    np.testing.assert_allclose(model.predict(labels), baseline.predict(labels), atol=1e-5)
    bare = fit(index, split, steps=1, learning_rate=1e-30, baseline="")
    np.testing.assert_allclose(bare.predict(labels)[:, bare.columns], 0, atol=1e-5)


@pytest.mark.slow
def test_training_lowers_the_loss_and_logs_each_term(index: Index, split: Split) -> None:
    lines: list[dict[str, float]] = []
    changes = {"steps": 60, "learning_rate": 3e-3, "set_size": 32, "baseline": "", "loss": "C4"}
    fit(index, split, options={"log": lines.append}, **changes)
    steps = [line for line in lines if "energy" in line]
    assert {"loss", "energy", "pseudobulk_mae", "de", "rank"} <= steps[0].keys()
    first, last = (np.mean([line["loss"] for line in part]) for part in (steps[:5], steps[-5:]))
    assert last < 0.7 * first


@pytest.mark.slow
def test_an_expression_trains_each_of_its_losses(index: Index, split: Split) -> None:
    lines: list[dict[str, float]] = []
    changes = {"steps": 60, "learning_rate": 3e-3, "set_size": 32, "baseline": ""}
    model = fit(index, split, options={"log": lines.append}, loss="0.5*energy+mmd", **changes)
    steps = [line for line in lines if "mmd" in line]
    assert steps[0].keys() == {"step", "loss", "energy", "mmd", "learning_rate"}
    first, last = (
        {name: np.mean([line[name] for line in part]) for name in steps[0]} for part in (steps[:5], steps[-5:])
    )
    assert first["loss"] == pytest.approx(0.5 * first["energy"] + first["mmd"], rel=1e-5)
    assert last["mmd"] < 0.7 * first["mmd"] and np.isfinite(model.predict(TEST)).all()


@pytest.mark.slow
def test_a_preset_is_its_expression(index: Index, split: Split) -> None:
    one, two = (fit(index, split, loss=loss).predict(TEST) for loss in ("C3", "energy + pseudobulk_mae + 0.5*de"))
    np.testing.assert_array_equal(one, two)


def test_faithful_training_uses_the_biased_energy_alone(index: Index, split: Split) -> None:
    lines: list[dict[str, float]] = []
    model = fit(index, split, faithful=True, steps=3, options={"log": lines.append})
    assert lines[0].keys() == {"step", "loss", "energy", "learning_rate"} and lines[-1]["learning_rate"] == 3e-4
    assert model.baseline is None and model.network.shape.residual == "hidden" and model.network.shape.nonnegative


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"mapping": "batch", "batch_encoder": True}, {"controls_as_items": False}, {"genes": 0}], ids=str
)
def test_every_way_of_sampling_trains(index: Index, split: Split, changes: dict) -> None:
    model = fit(index, split, steps=3, **changes)
    assert np.isfinite(model.predict(TEST)).all() and model.predict(TEST).any()


@pytest.mark.slow
def test_the_control_has_no_effect_and_an_unknown_gene_is_no_control(model: State) -> None:
    deltas = model.predict([CONTROL, "NOT-A-GENE", "GENE7"])
    assert not deltas[0].any() and deltas[1].any()
    assert model.coverage(["GENE7", "NOT-A-GENE"])["n_known"].tolist() == [1, 0]


def test_missing_targets_may_be_an_error(index: Index, split: Split) -> None:
    model = fit(index, split, steps=2, missing="error", embedding="one-hot", baseline="perturbation_mean")
    assert model.predict(["GENE0"]).any()
    with refusal(SpecError, "never_seen"):
        model.predict(["GENE7"])
    kind = fit(index, split, steps=2, embedding="one-hot", baseline="perturbation_mean")
    assert kind.predict(["GENE7"]).any()


@pytest.mark.slow
def test_it_adds_as_much_as_held_out_effects_say(index: Index, split: Split) -> None:
    model = fit(index, split, options={"validate": lambda deltas: {"val_pearson_delta": float(deltas.std())}})
    base, predicted = model.baseline.predict(VAL), model.predict(VAL)
    assert fit_share(index, VAL, base, predicted) == pytest.approx(1, abs=1e-3)  # it is scaled already


def test_a_loaded_model_predicts_the_same(model: State, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_allclose(again.predict([*VAL, *TEST]), model.predict([*VAL, *TEST]), atol=1e-6)


def test_cells_have_the_predicted_means_or_are_the_network_s(model: State, index: Index, split: Split) -> None:
    rng = np.random.default_rng(0)
    controls = csr_matrix(np.log1p(rng.poisson(2.0, (30, 40))).astype(np.float32))
    wanted = np.maximum(model.control_means.rows[0] + model.predict(["GENE7"])[0], 0)
    expressed = np.asarray(controls.sum(axis=0)).ravel() > 0
    means = np.asarray(model.cells("GENE7", controls).mean(axis=0)).ravel()
    np.testing.assert_allclose(means[expressed], wanted[expressed], atol=2e-3)
    own = fit(index, split, cells="network", steps=2)
    cells = own.cells("GENE7", controls)
    inputs = controls[:, own.columns].toarray()
    np.testing.assert_allclose(
        cells[:, own.columns].toarray(), np.clip(own.transform(inputs, "GENE7"), 0, 14), atol=1e-6
    )


@pytest.mark.slow
def test_a_step_in_shares_is_that_of_the_whole(index: Index, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    batches, batch = [], SetTask.batch

    def counted(task: SetTask, number: int) -> SetBatch:
        batches.append(batch(task, number))
        return batches[-1]

    def train() -> list[dict[str, float]]:
        lines: list[dict[str, float]] = []
        batches.clear()
        choice = {"steps": 8, "dropout": 0, "precision": "float32", "loss": "C4", "learning_rate": 1e-3, "sets": 5}
        fit(index, split, options={"log": lines.append}, **choice)
        return lines

    monkeypatch.setattr(SetTask, "batch", counted)
    whole = train()
    assert [len(batch.label) for batch in batches] == 8 * [5]
    monkeypatch.setattr("vccapp.neural.state.shape.CELLS_AT_ONCE", 20)
    shared = train()
    assert [len(batch.label) for batch in batches] == 8 * [2, 2, 1]
    for line, expected in zip(shared, whole, strict=True):
        assert line == pytest.approx(expected, rel=1e-4, abs=1e-6)  # the energy is near 0


@pytest.mark.slow
@pytest.mark.parametrize("cells_at_once", [8, 1000])
def test_a_stopped_training_goes_on_to_the_same_weights(
    index: Index, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells_at_once: int
) -> None:
    monkeypatch.setattr("vccapp.neural.state.shape.CELLS_AT_ONCE", cells_at_once)

    def stop(fraction: float, message: str = "") -> None:
        if "step 7 of" in message:
            raise Stopped

    whole = fit(index, split, steps=12)
    with pytest.raises(Stopped):
        fit(index, split, steps=12, options={"folder": tmp_path, "progress": stop})
    resumed = fit(index, split, steps=12, options={"folder": tmp_path})
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_cross_fitting_leaves_each_perturbation_out() -> None:
    labels = [f"G{i}" for i in range(12)]
    index = ToyIndex(labels, ["A", "B", "C"])
    split = split_from_lists(name="s", dataset="d", train=labels)
    fits: list[list[str]] = []

    class Watched(PerturbationMean):
        def fit(self, index: Index, split: Split, **options: object) -> PerturbationMean:
            fits.append(list(split.train))
            return super().fit(index, split, **options)

    deltas = cross_fit(Watched, index, split, seed=0)
    for label, delta in zip(labels, deltas, strict=True):
        [without] = [train for train in fits if label not in train]
        np.testing.assert_allclose(delta, index.deltas(without).mean(axis=0), atol=1e-6)


def test_a_network_is_no_baseline(index: Index, split: Split) -> None:
    with refusal(SpecError, "network_as_baseline"):
        fit(index, split, baseline="state")


@pytest.mark.parametrize("adapt", ["background", "lora", "all"])
def test_adaptation_changes_only_its_part(model: State, index: Index, split: Split, tmp_path: Path, adapt: str) -> None:
    model.save(tmp_path / "model")
    few = split.model_copy(update={"train": ("GENE0", "GENE1", "GENE2")})
    adapted = fit(index, few, steps=4, start=str(tmp_path / "model"), adapt=adapt, learning_rate=1e-2)
    before, after = model.network.state_dict(), adapted.network.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    background = {"basal.0.bias", "head.3.bias"}
    attention = {f"blocks.0.{name}.weight" for name in ("query_key_value", "attended")}
    if adapt == "all":
        assert changed > background | attention
    else:
        assert changed == (background if adapt == "background" else background | attention)
    adapted.save(tmp_path / "adapted")
    np.testing.assert_allclose(load_model(tmp_path / "adapted").predict(TEST), adapted.predict(TEST), atol=1e-6)


def test_adaptation_starts_at_the_old_prediction(model: State, index: Index, split: Split, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    same = fit(index, split, steps=1, start=str(tmp_path / "model"), adapt="lora", learning_rate=1e-30)
    np.testing.assert_allclose(same.predict(TEST), model.predict(TEST), atol=1e-5)


def test_the_estimate_grows_with_the_work(index: Index, split: Split) -> None:
    small = make_model("state", TINY).estimate(index, split, memory_bytes=4 * 10**9)
    large = make_model("state", TINY | {"preset": "sm", "steps": 3000}).estimate(index, split, memory_bytes=4 * 10**9)
    assert large.seconds > 100 * small.seconds and large.memory_bytes > small.memory_bytes


def test_a_network_that_saw_the_test_part_is_nothing_to_start_from(index: Index, split: Split, tmp_path: Path) -> None:
    others = split_from_lists(name="t", dataset="d", train=[*TRAIN[:3], *TEST], val=VAL)
    fit(index, others, steps=1).save(tmp_path / "other")
    with refusal(SpecError, "source_saw_held_out") as caught:
        fit(index, split, steps=1, start=str(tmp_path / "other"))
    assert caught.value.found == TEST
    fit(index, split, steps=1).save(tmp_path / "own")
    again = fit(index, split, steps=1, start=str(tmp_path / "own"))
    again.save(tmp_path / "again")
    seen = load_model(tmp_path / "again").seen
    assert seen == again.seen and sum(known.learnt == tuple(TRAIN) for known in seen) == 2
    # What a network has seen stays with those that started from it; earlier versions did not say of which data it was.
    record = json.loads((tmp_path / "other/model.json").read_text()) | {"version": 3}
    del record["seen"]
    (tmp_path / "other/model.json").write_text(json.dumps(record))
    assert load_model(tmp_path / "other").seen[0].learnt == tuple(others.train)
    with refusal(SpecError, "source_saw_held_out"):
        fit(index, split, steps=1, start=str(tmp_path / "other"))


def test_vectors_of_cells_that_saw_the_test_part_are_no_input(index: Index, split: Split) -> None:
    write_pca(index, n_components=4, n_genes=20, name="X_all")
    with refusal(SpecError, "source_saw_held_out"):
        make_model("state", TINY | {"inputs": "X_all"}).check(index, split, device="cpu")
    write_pca(index, n_components=4, n_genes=20, name="X_all", seen=split.train)
    make_model("state", TINY | {"inputs": "X_all"}).check(index, split, device="cpu")


def test_a_training_that_does_not_help_says_that_it_is_its_baseline(index: Index, split: Split, tmp_path: Path) -> None:
    options = {"validate": make_validation(index, split)}
    worse = fit(index, split, options=options, learning_rate=1e-30, steps=2, validate_every=1)
    assert worse.made.is_baseline and worse.made.baseline == "ridge" and list(worse.parts()) == ["ridge"]
    np.testing.assert_allclose(worse.predict(TEST), worse.baseline.predict(TEST), atol=1e-5)
    worse.save(tmp_path / "model")
    assert load_model(tmp_path / "model").made == worse.made
