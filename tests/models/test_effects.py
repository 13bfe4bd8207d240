"""The closed-form models against scikit-learn, explicit leave-one-out loops and their formulas."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.neighbors import NearestNeighbors
from toy import make_counts
from toy_index import ToyIndex

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, positions_of
from vccapp.data.splits.split import Split, split_from_lists
from vccapp.errors import DataError, SpecError
from vccapp.models.additive import Additive
from vccapp.models.base import Model, load_model
from vccapp.models.bilinear import Bilinear
from vccapp.models.ensemble import Ensemble, _choose_unseen, fit_weights
from vccapp.models.knn import NearestNeighbours
from vccapp.models.parts.knockdown import mask_targets, measure_residual
from vccapp.models.ridge import Ridge, score_shrinkage
from vccapp.models.transfer import Transfer
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index
from vccapp.stats.views import measure_reliability

N, WIDTH, N_GENES = 14, 6, 40
PERTURBATIONS = [f"P{i}" for i in range(N + 6)]
GENES = [f"G{i}" for i in range(N_GENES)]
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(len(PERTURBATIONS), WIDTH))
MAP = RNG.normal(size=(WIDTH, N_GENES))
SPLIT = split_from_lists(name="s", dataset="0" * 16, train=PERTURBATIONS[:N], val=PERTURBATIONS[N : N + 3])


def make_index(labels: list[str] = PERTURBATIONS, *, noise: float = 0.5, changed: tuple[str, ...] = ()) -> ToyIndex:
    """Effects are linear in the vectors, plus noise; targets are not among the genes. `changed` ones are wild."""
    rng = np.random.default_rng(1)
    control = rng.uniform(2, 4, N_GENES)
    sums = np.stack([sum(VECTORS[PERTURBATIONS.index(gene)] for gene in label.split("+")) for label in labels])
    effects = 0.2 * sums @ MAP + 0.3 + noise * rng.normal(size=(len(labels), N_GENES))
    effects[[label in changed for label in labels]] = 9
    return ToyIndex(labels, GENES, means=np.vstack([control, control + effects]))


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vectors") / "vectors.npz"
    np.savez(path, genes=np.array(PERTURBATIONS), embedding=VECTORS)
    return str(path)


def unit_vectors() -> np.ndarray:
    """As the models keep them: centred, of unit length, in half precision."""
    centred = (VECTORS - VECTORS.mean(axis=0)).astype(np.float32)
    return (centred / np.linalg.norm(centred, axis=1, keepdims=True)).astype(np.float16).astype(float)


def make(name: str, embedding: str) -> Model:
    return {
        "ridge": lambda: Ridge(Ridge.Spec(embedding=embedding, kernel="linear", strength=1)),
        "gaussian": lambda: Ridge(Ridge.Spec(embedding=embedding, kernel="gaussian", strength=1)),
        "knn": lambda: NearestNeighbours(NearestNeighbours.Spec(embedding=embedding)),
        "bilinear": lambda: Bilinear(Bilinear.Spec(embedding=embedding, rank=4)),
        "additive": Additive,
        "ensemble": lambda: Ensemble(Ensemble.Spec(members="ridge + knn + perturbation_mean", embedding=embedding)),
    }[name]()


NAMES = ["ridge", "gaussian", "knn", "bilinear", "additive", "ensemble"]


def test_ridge_equals_sklearn(embedding: str) -> None:
    index = make_index()
    model = make("ridge", embedding).fit(index, SPLIT)
    x, y = unit_vectors(), index.deltas(PERTURBATIONS)
    oracle = SklearnRidge(alpha=model.shrinkage).fit(x[:N], y[:N])
    np.testing.assert_allclose(model.predict(PERTURBATIONS), oracle.predict(x), atol=1e-4)
    assert np.isfinite(model.shrinkage)


def test_shrinkage_is_that_of_an_explicit_leave_one_out_loop(embedding: str) -> None:
    index, lines = make_index(), []
    model = make("ridge", embedding).fit(index, SPLIT, log=lines.append)
    x, y = unit_vectors()[:N], index.deltas(PERTURBATIONS[:N]).astype(float)
    for line in (lines[3], lines[20], lines[35]):
        left = [
            y[i] - SklearnRidge(alpha=line["shrinkage"]).fit(np.delete(x, i, 0), np.delete(y, i, 0)).predict(x[[i]])[0]
            for i in range(N)
        ]
        assert line["loo_error"] == pytest.approx(np.square(left).mean(), rel=1e-3)
    assert model.shrinkage == min(lines, key=lambda line: line["loo_error"])["shrinkage"]


def test_gaussian_kernel_equals_sklearn_on_centred_kernels(embedding: str) -> None:
    index = make_index()
    model = make("gaussian", embedding).fit(index, SPLIT)
    x, y = unit_vectors(), index.deltas(PERTURBATIONS).astype(float)
    squared = np.square(x[:, None] - x[None]).sum(axis=2)
    assert model.widths[0] == pytest.approx(np.sqrt(np.median(squared[:N, :N][np.triu_indices(N, 1)])), rel=1e-5)
    kernel = np.exp(-squared / (2 * model.widths[0] ** 2))
    centred = kernel - kernel[:, :N].mean(axis=1, keepdims=True) - kernel[:N].mean(axis=0) + kernel[:N, :N].mean()
    oracle = KernelRidge(kernel="precomputed", alpha=model.shrinkage).fit(centred[:N, :N], y[:N] - y[:N].mean(axis=0))
    predicted = oracle.predict(centred[:, :N]) + y[:N].mean(axis=0)
    np.testing.assert_allclose(model.predict(PERTURBATIONS), predicted, atol=1e-4)


@pytest.mark.parametrize(("asked", "learns"), [("P17@A", False), ("P3@C", True)])
def test_another_context_does_not_tell_what_is_left_out(embedding: str, asked: str, learns: bool) -> None:
    """Effects have nothing to do with the vectors, and are the same in both contexts. Who asks for the effect of an
    unseen target finds nothing; who asks for one that was seen elsewhere finds it.
    """
    rng = np.random.default_rng(4)
    train = [f"{gene}@{context}" for context in "AB" for gene in PERTURBATIONS[:N]]
    control, effects = rng.uniform(2, 4, (3, N_GENES)), np.tile(rng.normal(size=(N, N_GENES)), (2, 1))
    rows = np.vstack([effects, rng.normal(size=(1, N_GENES))])
    labels = [*train, asked]
    means = np.vstack([control, rows + control[["ABC".index(label[-1]) for label in labels]]])
    if asked.endswith("A"):
        means = np.delete(means, 2, axis=0)  # controls of C
    split = split_from_lists(name="s", dataset="0" * 16, train=train, test=[asked])
    index = ToyIndex(labels, GENES, means=means)
    ridge, knn = (make(name, embedding).fit(index, split) for name in ("gaussian", "knn"))
    assert (knn.share > 0.9) == learns
    spread = np.square(ridge.predict(train) - index.deltas(train)).sum() / np.square(effects - effects.mean(0)).sum()
    assert spread < 0.1 if learns else spread > 0.5


def test_leaving_out_with_two_genes_equals_refitting() -> None:
    """With numbers of targets m, the mean is an unpenalised feature m: solved here as one linear system."""
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 3, 9).astype(float)
    x, y = rng.normal(size=(9, 4)) * counts[:, None], rng.normal(size=(9, 5))
    kernel = x @ x.T
    away = y - np.outer(counts, counts @ y) / (counts @ counts)
    for shrinkage, error in score_shrinkage(kernel, away @ away.T, counts)[5::9]:
        left = []
        for i in range(9):
            keep = np.delete(np.arange(9), i)
            system = np.block(
                [
                    [kernel[np.ix_(keep, keep)] + min(shrinkage, 1e12) * np.eye(8), counts[keep, None]],
                    [counts[None, keep], np.zeros((1, 1))],
                ]
            )
            solved = np.linalg.solve(system, np.vstack([y[keep], np.zeros(5)]))
            left.append(y[i] - kernel[i, keep] @ solved[:-1] - counts[i] * solved[-1])
        assert error == pytest.approx(np.square(left).sum(), rel=1e-4)


def test_noise_is_shrunk_to_the_mean_effect(embedding: str) -> None:
    rng = np.random.default_rng(3)
    index = ToyIndex(PERTURBATIONS, GENES, means=3 + 0.1 * rng.normal(size=(len(PERTURBATIONS) + 1, N_GENES)))
    mean = index.deltas(SPLIT.train).mean(axis=0)
    for name in ("ridge", "knn"):
        predicted = make(name, embedding).fit(index, SPLIT).predict(PERTURBATIONS[N:])
        assert np.abs(predicted - mean).mean() < 0.3 * np.abs(index.deltas(PERTURBATIONS[N:]) - mean).mean()


def test_nearest_neighbours_equal_explicit_loops(embedding: str) -> None:
    index, lines = make_index(), []
    model = make("knn", embedding).fit(index, SPLIT, log=lines.append)
    x, y = unit_vectors(), index.deltas(PERTURBATIONS).astype(float)

    def told(train: list[int], at: int, k: int) -> np.ndarray:
        near = NearestNeighbors(n_neighbors=k, metric="cosine").fit(x[train])
        distance, order = near.kneighbors(x[[at]])
        weight = np.exp((1 - distance[0]) / 0.1)
        return weight / weight.sum() @ (y[train][order[0]] - y[train].mean(axis=0))

    everyone = list(range(N))
    for line in lines:
        others = [[j for j in everyone if j != i] for i in everyone]
        pairs = [(y[i] - y[o].mean(axis=0), told(o, i, line["step"])) for i, o in zip(everyone, others, strict=True)]
        real, shown = (np.stack(part) for part in zip(*pairs, strict=True))
        share = np.clip((real * shown).sum() / (shown**2).sum(), 0, 1)
        assert line["share"] == pytest.approx(share, abs=1e-4)
        assert line["loo_error"] == pytest.approx(np.square(real - share * shown).mean(), rel=1e-4)
    best = min(lines, key=lambda line: line["loo_error"])
    assert model.neighbours == best["step"] and model.share > 0.1
    expected = [y[:N].mean(axis=0) + best["share"] * told(everyone, i, best["step"]) for i in range(N, N + 6)]
    np.testing.assert_allclose(model.predict(PERTURBATIONS[N:]), expected, atol=1e-4)


def test_bilinear_is_the_formula_of_the_paper() -> None:
    genes = GENES[:-4]
    rng = np.random.default_rng(4)
    labels = genes[:12]
    index = ToyIndex(labels, GENES, means=rng.uniform(1, 3, (13, N_GENES)))
    split = split_from_lists(name="s", dataset="0" * 16, train=labels[:10], test=labels[10:])
    model = Bilinear(Bilinear.Spec(rank=3)).fit(index, split)
    means = index.means([CONTROL, *split.train]).T.astype(float)
    left, values, _ = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    scores = left[:, :3] * values[:3]
    position = positions_of(index.genes["gene"].to_numpy(str))
    y = mask_targets(index.deltas(split.train), split.train, position=position).T.astype(float)
    centre, at = y.mean(axis=1, keepdims=True), [position[label] for label in labels]
    p = scores[at[:10]]
    ridge = 0.1 * np.eye(3)
    joint = np.linalg.inv(scores.T @ scores + ridge) @ scores.T @ (y - centre) @ p @ np.linalg.inv(p.T @ p + ridge)
    expected = (scores @ joint @ scores[at].T + centre).T
    predicted = model.predict(labels)
    for row, gene in enumerate(at):
        np.testing.assert_allclose(np.delete(predicted[row], gene), np.delete(expected[row], gene), atol=5e-3)


def test_additive_sums_the_single_effects_and_falls_back() -> None:
    labels = ["P0", "P1", "P2", "P0+P1", "P2+P9"]
    index = make_index(labels)
    split = split_from_lists(name="s", dataset="0" * 16, train=labels[:3], test=labels[3:])
    model = Additive().fit(index, split)
    one, other, third = index.deltas(labels[:3])
    predicted = model.predict(["P0+P1", "P0", "P2+P9", "NEW", CONTROL])
    mean = (one + other + third) / 3
    np.testing.assert_allclose(predicted, [one + other, one, third + mean, mean, 0 * mean], atol=1e-5)
    frame = model.coverage(["P0+P1", "P2+P9", "NEW"])
    assert frame["n_known"].tolist() == [2, 1, 0]
    with refusal(SpecError, "no_single_gene"):
        Additive().fit(make_index(["P0+P1"]), split_from_lists(name="s", dataset="0" * 16, train=["P0+P1"]))


def test_two_genes_add_up_in_a_linear_model(embedding: str) -> None:
    """Trained on singles and pairs of noiseless effects that add up, the ridge predicts a new pair."""
    labels = [*PERTURBATIONS[:12], "P0+P1", "P2+P3", "P12+P13"]
    index = make_index(labels, noise=0.0)
    index._means[-1] += 0.3  # make_index adds the mean effect once
    index._means[-3:-1] += 0.3
    split = split_from_lists(name="s", dataset="0" * 16, train=labels[:-1], test=labels[-1:])
    model = make("ridge", embedding).fit(index, split)
    real = index.deltas(["P12+P13"])[0]
    assert np.corrcoef(model.predict(["P12+P13"])[0] - 2 * model.mean_effect.rows[0], real - 0.6)[0, 1] > 0.9
    both = model.predict(["P12"])[0] + model.predict(["P13"])[0]
    np.testing.assert_allclose(model.predict(["P12+P13"])[0], both, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_pseudobulks_cannot_change_the_fit(name: str, embedding: str) -> None:
    unseen = tuple(PERTURBATIONS[N + 3 :]) if name == "ensemble" else tuple(PERTURBATIONS[N:])
    here, there, elsewhere = (
        make(name, embedding).fit(make_index(changed=changed), SPLIT).state()
        for changed in ((), unseen, PERTURBATIONS[:1])
    )
    assert here.meta == there.meta
    for key, learnt in here.arrays.items():
        np.testing.assert_array_equal(learnt, there.arrays[key])
    assert any((array != elsewhere.arrays[key]).any() for key, array in here.arrays.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_needs_nothing_but_its_folder(name: str, embedding: str, tmp_path: Path) -> None:
    model = make(name, embedding).fit(make_index(), SPLIT)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", genes=GENES)
    labels = [*PERTURBATIONS, "P0+P15", "UNKNOWN", CONTROL]
    np.testing.assert_array_equal(loaded.predict(labels), model.predict(labels))
    np.testing.assert_array_equal(loaded.coverage(labels), model.coverage(labels))


@pytest.mark.parametrize("name", ["ridge", "knn", "bilinear"])
def test_a_perturbation_without_a_vector_gets_the_mean_or_stops(name: str, embedding: str) -> None:
    model = make(name, embedding).fit(make_index(), SPLIT)
    predicted = model.predict(["UNKNOWN", "P15", "UNKNOWN+P15"])
    np.testing.assert_allclose(predicted[0], model.mean_effect.rows[0], rtol=1e-5)
    assert np.abs(predicted[1] - model.mean_effect.rows[0]).max() > 0.01
    assert model.coverage(["UNKNOWN", "UNKNOWN+P15"])["n_known"].tolist() == [0, 1]
    basis = model.describe_basis(["UNKNOWN", "UNKNOWN+P15", "P0"])
    assert list(basis.values()) == ["guessed", "covered", "trained on"]
    strict = type(model)(model.spec.model_copy(update={"missing": "error"})).fit(make_index(), SPLIT)
    for labels in (["P15", "UNKNOWN"], ["UNKNOWN"]):
        with refusal(SpecError, "no_vector"):
            strict.predict(labels)


@pytest.mark.parametrize("name", ["ridge", "knn", "bilinear"])
def test_the_mean_effect_is_that_of_all_of_training(name: str, embedding: str) -> None:
    """Those without a vector count in it too; what is learnt of the others does not change by them."""
    labels = [*PERTURBATIONS[:N], "X", "Y", "Z"]
    index = ToyIndex([*labels, *PERTURBATIONS[N:]], GENES, seed=4)
    whole = make(name, embedding).fit(index, split_from_lists(name="s", dataset="0" * 16, train=labels))
    known = make(name, embedding).fit(index, split_from_lists(name="s", dataset="0" * 16, train=labels[:N]))
    masked = mask_targets(index.deltas(labels), labels, position=positions_of(GENES))
    np.testing.assert_allclose(whole.mean_effect.rows[0], masked.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(whole.predict(["UNKNOWN"])[0], masked.mean(axis=0), atol=1e-6)
    if name != "bilinear":  # whose gene scores come from all training pseudobulks
        free = ~np.isin(GENES, labels)
        pair = [model.predict(PERTURBATIONS[N:]) - model.mean_effect.rows[0] for model in (whole, known)]
        np.testing.assert_allclose(pair[0][:, free], pair[1][:, free], atol=1e-5)


def test_too_few_known_targets_are_refused(embedding: str) -> None:
    labels = ["X", "Y", "Z", "P0", "P1"]
    index = ToyIndex(labels, GENES)
    split = split_from_lists(name="s", dataset="0" * 16, train=labels)
    with refusal(SpecError, "nothing_to_learn"):
        make("ridge", embedding).fit(index, split)


def knockdown_index() -> tuple[ToyIndex, Split]:
    """Targets G0.. among the genes, each left at a fifth; other effects are zero."""
    labels, control = GENES[:8], np.linspace(1, 3, N_GENES)
    means = np.tile(control, (9, 1))
    for i in range(8):
        means[1 + i, i] = np.log1p(0.2 * np.expm1(control[i]))
    index = ToyIndex(labels, GENES, means=means)
    return index, split_from_lists(name="s", dataset="0" * 16, train=labels[:6], test=labels[6:])


def test_the_target_is_knocked_down_and_leaks_into_no_other(tmp_path: Path) -> None:
    index, split = knockdown_index()
    np.savez(tmp_path / "v.npz", genes=np.array(GENES), embedding=np.random.default_rng(5).normal(size=(N_GENES, 3)))
    assert measure_residual(index, split.train, position=positions_of(np.array(GENES))) == pytest.approx(0.2, rel=1e-4)
    for model in (
        Ridge(Ridge.Spec(embedding=str(tmp_path / "v.npz"))),
        NearestNeighbours(NearestNeighbours.Spec(embedding=str(tmp_path / "v.npz"))),
        Bilinear(),
    ):
        predicted = model.fit(index, split).predict([*split.test, "NEW"])
        np.testing.assert_allclose(predicted[:2], index.deltas(split.test), atol=1e-4)
        np.testing.assert_allclose(predicted[2], 0, atol=1e-4)
    additive = Additive().fit(index, split).predict(["G0+G7"])[0]
    np.testing.assert_allclose(additive, index.delta("G0") + index.delta("G7"), atol=1e-4)


def test_weights_are_the_constrained_least_squares() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        told = rng.normal(size=(4, 30)) + (2 * rng.normal(size=30) if seed % 2 else 0)
        real = rng.dirichlet(np.ones(4)) @ told * rng.uniform(0.3, 2) - 0.3 * told[0] + rng.normal(size=30)
        weights = fit_weights(told @ told.T, told @ real)
        oracle = minimize(
            lambda w, told=told, real=real: np.square(real - w @ told).sum(),
            np.full(4, 0.2),
            bounds=[(0, None)] * 4,
            constraints={"type": "ineq", "fun": lambda w: 1 - w.sum()},
            options={"ftol": 1e-12},
        )
        assert (weights >= 0).all() and weights.sum() <= 1 + 1e-9
        np.testing.assert_allclose(weights, oracle.x, atol=2e-3)
    np.testing.assert_array_equal(fit_weights(np.eye(2), -np.ones(2)), [0, 0])
    same = fit_weights(np.ones((2, 2)), np.full(2, 0.7))
    assert same.sum() == pytest.approx(0.7)


def test_the_ensemble_is_a_weighted_sum_fitted_on_what_its_members_had_not_seen(embedding: str) -> None:
    index = make_index()
    model = make("ensemble", embedding).fit(index, SPLIT)
    parts = [member.predict(PERTURBATIONS) for member in model.members]
    expected = sum(w * part for w, part in zip(model.weights, parts, strict=True))
    np.testing.assert_allclose(model.predict(PERTURBATIONS), expected, atol=1e-5)
    labels = np.array(SPLIT.train)
    assert len(labels) >= 10
    fold = np.random.default_rng((0, 4)).permutation(len(labels)) % 5
    real, told = index.deltas([*SPLIT.train, *SPLIT.val]), np.zeros((len(parts), len(labels) + len(SPLIT.val), N_GENES))
    for k, member in enumerate(model.members):
        for row, label in enumerate(labels):
            others = tuple(labels[fold != fold[row]].tolist())
            fitted = type(member)(member.spec).fit(index, SPLIT.model_copy(update={"train": others}))
            told[k, row] = fitted.predict([label])[0]
        told[k, len(labels) :] = member.predict(SPLIT.val)
    weights = fit_weights(
        *(np.einsum(f"ipg,{sides}", told, own) for sides, own in (("jpg->ij", told), ("pg->i", real)))
    )
    np.testing.assert_allclose(model.weights, weights, atol=1e-3)


def test_single_targets_do_not_weigh_an_ensemble_for_pairs() -> None:
    singles, pairs = [f"G{i}" for i in range(12)], ["G0+G1", "G2+G3"]
    named = {"name": "s", "dataset": "0" * 16, "train": [*singles, "G4+G5"]}
    assert _choose_unseen(split_from_lists(**named)) == named["train"]
    assert _choose_unseen(split_from_lists(**named, val=["G20"])) == singles
    assert _choose_unseen(split_from_lists(**named, val=pairs)) == []  # one pair cannot be predicted without it


def test_an_ensemble_needs_no_validation_part_but_perturbations(embedding: str) -> None:
    index, named = make_index(), {"name": "s", "dataset": "0" * 16}
    whole = make("ensemble", embedding).fit(index, split_from_lists(**named, train=PERTURBATIONS))
    assert whole.weights.sum() > 0.5
    said: list[str] = []
    few = split_from_lists(**named, train=PERTURBATIONS[:8], val=PERTURBATIONS[8:10])
    make("ensemble", embedding).fit(index, few, progress=lambda _, message="": said.append(message))
    assert any("Only 2 perturbations" in message for message in said)


def test_the_ensemble_does_not_shrink_the_knock_down() -> None:
    index, split = knockdown_index()
    split = split_from_lists(
        name="v", dataset=split.dataset, train=split.train, val=split.test[:1], test=split.test[1:]
    )
    model = Ensemble(Ensemble.Spec(members="control_mean + perturbation_mean")).fit(index, split)
    assert model.weights.sum() < 0.5
    np.testing.assert_allclose(model.predict(split.test)[0, 7], index.delta("G7")[7], rtol=1e-4)


def test_a_member_that_cannot_learn_is_left_out_and_named(embedding: str, tmp_path: Path) -> None:
    said = []
    spec = Ensemble.Spec(members="ridge + knockdown_mean + knn", embedding=embedding)
    model = Ensemble(spec).fit(make_index(), SPLIT, progress=lambda _, message="": said.append(message))
    assert [member.name for member in model.members] == ["ridge", "knn"]
    assert any("Knock-down mean is left out: None of the 14" in message for message in said)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(["P17"]), model.predict(["P17"]))
    with refusal(SpecError, "no_member"):
        Ensemble(Ensemble.Spec(members="knockdown_mean + bilinear")).fit(make_index(), SPLIT)


def test_wrong_ensembles_are_one_sentence(embedding: str) -> None:
    index = make_index()
    with refusal(SpecError, "no_validation_part"):
        make("ensemble", embedding).fit(index, split_from_lists(name="s", dataset="0" * 16, train=PERTURBATIONS[:9]))
    for members in ("ridge", "ridge + ridge", "ridge + ensemble"):
        with refusal(SpecError, "bad_members"):
            Ensemble(Ensemble.Spec(members=members)).fit(index, SPLIT)


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Indexes of two screens of the same twelve perturbations; the other's effects are the same."""
    folder = tmp_path_factory.mktemp("screens")
    for seed in (0, 1):
        cells = make_counts(1500, 60, 12, seed=seed)
        cells.write_h5ad(folder / f"{seed}.h5ad")
        build_index(open_dataset(folder / f"{seed}.h5ad"), folder / str(seed))
    return folder / "0", folder / "1"


@pytest.mark.slow
def test_transfer_takes_reliable_effects_of_the_other_screen(screens: tuple[Path, Path]) -> None:
    here, there = map(load_index, screens)
    labels = [label for label in here.labels if label != CONTROL]
    split = split_from_lists(name="s", dataset="0" * 16, train=labels[:8], test=labels[8:])
    model = Transfer(Transfer.Spec(sources=str(screens[1]))).fit(here, split)
    assert 0.3 < model.amplitude < 3
    genes = there.genes["gene"].to_numpy(str)
    position = positions_of(genes)
    effects = mask_targets(there.deltas(labels), labels, position=position)
    reliability = measure_reliability(there, np.arange(len(genes))).set_index("perturbation")["reliability"]
    share = np.minimum(reliability.reindex(labels).fillna(0).to_numpy(), 0.99)[:, None]
    expected = model.mean_effect.rows[0] + model.amplitude * share * (effects - effects.mean(axis=0))
    predicted = model.predict(labels)
    for row, label in enumerate(labels):
        keep = genes != label
        np.testing.assert_allclose(predicted[row][keep], expected[row][keep], atol=2e-3)
    unknown = model.predict(["NEW"])[0]
    np.testing.assert_allclose(unknown, model.mean_effect.rows[0], atol=1e-6)
    assert model.coverage([labels[0], "NEW", f"{labels[0]}+NEW"])["n_known"].tolist() == [1, 0, 1]
    assert model.describe_basis([labels[8], "NEW"]) == {labels[8]: "measured elsewhere", "NEW": "guessed"}


def test_a_screen_of_pseudobulks_is_told_as_such_and_taken_as_assumed(
    screens: tuple[Path, Path], tmp_path: Path
) -> None:
    """One row a perturbation, the sum of its cells: the effects are those of the cells, the reliability is unknown."""
    cells = anndata.read_h5ad(screens[1].with_suffix(".h5ad"))
    labels = cells.obs["target_gene"].astype(str).to_numpy()
    names = sorted(set(labels))
    sums = np.stack([np.asarray(cells.X[labels == name].sum(axis=0)).ravel() for name in names])
    obs = pd.DataFrame({"target_gene": names}, index=names)
    anndata.AnnData(csr_matrix(sums), obs, cells.var).write_h5ad(tmp_path / "bulk.h5ad")
    dataset = open_dataset(tmp_path / "bulk.h5ad")
    assert any("pseudobulks" in note for note in dataset.schema.notes)
    assert not any("pseudobulks" in note for note in open_dataset(screens[1].with_suffix(".h5ad")).schema.notes)
    build_index(dataset, tmp_path / "bulk")
    here = load_index(screens[0])
    split = split_from_lists(name="s", dataset="0" * 16, train=here.perturbed[:8], test=here.perturbed[8:])
    whole, half, none = (
        Transfer(Transfer.Spec(sources=str(tmp_path / "bulk"), assumed=assumed, amplitude=1.0)).fit(here, split)
        for assumed in (0.9, 0.45, 0.0)
    )
    np.testing.assert_allclose(whole.deviations, 2 * half.deviations.astype(np.float32), atol=2e-3)
    assert whole.deviations.any() and not none.deviations.any()
    fitted = Transfer(Transfer.Spec(sources=str(tmp_path / "bulk"))).fit(here, split)
    assert 0.3 < fitted.amplitude < 3
    real, guess = here.deltas(split.test), fitted.predict(split.test)
    assert np.corrcoef(real.ravel(), guess.ravel())[0, 1] > 0.5


def test_transfer_from_what_it_is_judged_on_is_refused(screens: tuple[Path, Path]) -> None:
    """The split's own data, by whatever path: a part of its cells is told in tests/stats/test_knowledge.py."""
    here = load_index(screens[0])
    labels = here.perturbed
    parts = {"train": labels[:8], "val": labels[8:9], "test": labels[9:]}
    split = split_from_lists(name="s", dataset=here.meta["fingerprint"], **parts)
    for sources in (str(screens[0]), f"{screens[1]}, {screens[0]}"):
        model = Transfer(Transfer.Spec(sources=sources))
        with refusal(SpecError, "source_saw_held_out") as caught:
            model.fit(here, split)
        assert caught.value.found == labels[8:]
        with refusal(SpecError, "source_saw_held_out"):
            model.check(here, split, device="cpu")
    fitted = Transfer(Transfer.Spec(sources=str(screens[1]))).fit(here, split)
    assert [known.learnt for known in fitted.seen if known.learnt] == [tuple(labels[:8]), tuple(labels)]


def test_transfer_says_what_it_lacks(screens: tuple[Path, Path]) -> None:
    here = load_index(screens[0])
    labels = [label for label in here.labels if label != CONTROL]
    split = split_from_lists(name="s", dataset="0" * 16, train=labels)
    with refusal(SpecError, "no_source"):
        Transfer().fit(here, split)
    with refusal(SpecError, "unknown_source"):
        Transfer(Transfer.Spec(sources="nothing")).fit(here, split)
    fixed = Transfer(Transfer.Spec(sources=f"{screens[0]}, {screens[1]}", amplitude=0.5)).fit(here, split)
    assert fixed.amplitude == 0.5
    with refusal(SpecError, "nothing_to_learn"):
        Transfer(Transfer.Spec(sources=str(screens[1]))).fit(
            ToyIndex(["A", "B", "C", labels[0]], here.genes["gene"].tolist()),
            split_from_lists(name="s", dataset="0" * 16, train=["A", "B", "C", labels[0]]),
        )


def test_a_wrong_embedding_is_one_sentence() -> None:
    with refusal(DataError, "file_missing"):
        Ridge(Ridge.Spec(embedding="nowhere.npz")).fit(make_index(), SPLIT)


def test_embeddings_have_a_kernel_each_with_weights_by_what_they_know(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    labels = [f"NODE{i}" for i in range(60)]
    vectors, noise = rng.normal(size=(2, 60, 4))
    means = np.vstack([np.ones(30), 1 + vectors @ rng.normal(size=(4, 30)) + 0.5 * rng.normal(size=(60, 30))])
    index = ToyIndex(labels, [f"OTHER{i}" for i in range(30)], means=means)
    for name, own, genes in (("right", vectors, labels), ("wrong", noise, labels[:-1])):
        np.savez(tmp_path / f"{name}.npz", genes=np.array(genes), embedding=own[: len(genes)])
    split = split_from_lists(name="s", dataset="0" * 16, train=labels[:50], test=labels[50:])
    fitted, said = {}, []
    for source in ("right", "wrong + right", "wrong"):
        text = " + ".join(str(tmp_path / f"{name}.npz") for name in source.split(" + "))
        model = Ridge(Ridge.Spec(embedding=text, strength=1))
        fitted[source] = model.fit(index, split, progress=lambda _, message="": said.append(message))
    both = fitted["wrong + right"]
    errors = {
        name: np.square(own.predict(labels[50:]) - index.deltas(labels[50:])).mean() for name, own in fitted.items()
    }
    assert errors["right"] < errors["wrong + right"] < 0.7 * errors["wrong"]
    assert both.blocks == (4, 4) and both.weights[1] > 4 * both.weights[0]
    assert any("right.npz 0.9" in message or "right.npz 1.0" in message for message in said)
    assert np.isfinite(both.predict(labels[-1:])).all() and both.coverage(labels[-1:])["n_known"].tolist() == [1]
    both.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(labels), both.predict(labels))
