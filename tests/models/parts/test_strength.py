"""How strongly deviations are drawn: against explicit refits, and where the right answer is known."""

from pathlib import Path

import numpy as np
import pytest
from toy_index import ToyIndex

from vccapp.data.splits.split import split_from_lists
from vccapp.models import ridge
from vccapp.models.parts.residual import cross_fit
from vccapp.models.parts.strength import MAX_JUDGED, MIN_JUDGED, STRENGTHS, choose_strength, judged_rows
from vccapp.models.ridge import Ridge

N, WIDTH, N_GENES = 24, 6, 40
LABELS = [f"P{i}" for i in range(N)]


VECTORS = np.random.default_rng(0).normal(size=(N, WIDTH))


@pytest.fixture
def embedding(tmp_path: Path) -> str:
    np.savez(tmp_path / "vectors.npz", genes=np.array(LABELS), embedding=VECTORS)
    return str(tmp_path / "vectors.npz")


def make_index() -> ToyIndex:
    """Effects are linear in the vectors, plus noise; targets are not among the genes."""
    rng = np.random.default_rng(1)
    control = rng.uniform(3, 4, N_GENES)
    effects = 0.2 * VECTORS @ rng.normal(size=(WIDTH, N_GENES)) + 0.3 * rng.normal(size=(N, N_GENES))
    return ToyIndex(LABELS, [f"G{i}" for i in range(N_GENES)], means=np.vstack([control, control + effects]))


@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
def test_ridge_judges_by_fits_without_each_perturbation(
    kernel: str, embedding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def watch(effects: np.ndarray, means: np.ndarray, predicted: np.ndarray) -> float:
        seen.update(effects=effects, means=means, predicted=predicted)
        return 1.5

    monkeypatch.setattr(ridge, "choose_strength", watch)
    index = make_index()
    model = Ridge(Ridge.Spec(embedding=embedding, kernel=kernel))
    model.fit(index, split_from_lists(name="s", dataset="0" * 16, train=LABELS))
    effects = index.deltas(LABELS).astype(float)
    means = (effects.sum(axis=0) - effects) / (N - 1)
    gram = model._kernel(model.trained)
    for i in range(N):
        keep = np.delete(np.arange(N), i)
        system = np.pad(gram[np.ix_(keep, keep)] + model.shrinkage * np.eye(N - 1), (0, 1), constant_values=1)
        system[-1, -1] = 0
        solved = np.linalg.solve(system, np.vstack([effects[keep], np.zeros(N_GENES)]))
        np.testing.assert_allclose(seen["predicted"][i], gram[i, keep] @ solved[:-1] + solved[-1], atol=1e-4)
    np.testing.assert_allclose(seen["means"], means, atol=1e-5)
    np.testing.assert_allclose(seen["effects"], effects, atol=1e-5)
    plain = Ridge(Ridge.Spec(embedding=embedding, kernel=kernel, strength=1))
    plain.fit(index, split_from_lists(name="s", dataset="0" * 16, train=LABELS))
    mean = effects.mean(axis=0)
    np.testing.assert_allclose(model.predict(LABELS) - mean, 1.5 * (plain.predict(LABELS) - mean), atol=1e-5)


def test_strength_undoes_shrinkage_and_leaves_exact_predictions_alone() -> None:
    rng = np.random.default_rng(2)
    effects, means = rng.normal(size=(60, 200)), np.zeros((60, 200))
    assert choose_strength(effects, means, effects) == 1
    assert choose_strength(effects, means, effects / 1.5) == 1.5
    assert choose_strength(effects, means, effects / 5) == max(STRENGTHS)
    assert choose_strength(effects, means, rng.normal(size=(60, 200))) == 1  # wrong: the more of it the worse
    few = slice(MIN_JUDGED - 1)
    assert choose_strength(effects[few], means[few], effects[few] / 1.5) == 1


def test_many_perturbations_are_judged_by_some() -> None:
    assert judged_rows(7).tolist() == list(range(7))
    rows = judged_rows(5000)
    assert (len(rows), rows[0], rows[-1]) == (MAX_JUDGED, 0, 4999)


def test_what_a_network_learns_from_is_least_squares(embedding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "choose_strength", lambda *_: 2.0)
    split = split_from_lists(name="s", dataset="0" * 16, train=LABELS)
    given = [Ridge.Spec(embedding=embedding, strength=strength) for strength in (None, 1)]
    first, second = (cross_fit(lambda spec=spec: Ridge(spec), make_index(), split, seed=0) for spec in given)
    np.testing.assert_array_equal(first, second)
