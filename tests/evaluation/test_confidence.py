"""How sure a prediction is: the formula, what an unknown target gets, and that held-out effects are never read."""

from pathlib import Path

import numpy as np
import pytest
from toy_index import ToyIndex

from vccapp.evaluation import confidence as module
from vccapp.evaluation.confidence import LEAST, NEIGHBOURS, TEMPERATURE, Confidence, measure_confidence
from vccapp.models.base import make_model
from vccapp.stats.halves import correct_spearman_brown, correlate_halves, half_deltas

TRAIN = [f"T{i}" for i in range(24)]
GENES = [*TRAIN, *(f"G{i}" for i in range(60))]
ASKED = ["NEAR", "FAR", "NEAR+FAR", "UNKNOWN", "NEAR+UNKNOWN"]


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    """The first twelve training genes lie around NEAR, the others around FAR."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 0.3, (26, 4))
    vectors[:12, 0] += 2
    vectors[12:24, 1] += 2
    vectors[24, 0] += 2
    vectors[25, 1] += 2
    np.savez(tmp_path / "genes.npz", genes=np.array([*TRAIN, "NEAR", "FAR"]), embedding=vectors)
    return tmp_path / "genes.npz"


def make_index(*, seed: int = 0) -> ToyIndex:
    """The first twelve effects are nearly one, the others have nothing in common."""
    rng = np.random.default_rng(seed)
    control, shared = rng.gamma(2.0, 0.5, len(GENES)), rng.normal(0, 0.3, len(GENES))
    effects = rng.normal(0, 0.3, (len(TRAIN), len(GENES)))
    effects[:12] = shared + 0.2 * effects[:12]
    means = np.vstack([control, control + effects, control + rng.normal(0, 1, (2, len(GENES)))])
    return ToyIndex([*TRAIN, "NEAR", "FAR"], GENES, means=means, seed=seed)


def plain_agreement(effects: np.ndarray, weights: np.ndarray) -> float:
    """By loops and numpy's own correlation."""
    found = []
    for i in range(len(effects)):
        others = [j for j in range(len(effects)) if j != i]
        mean = np.average(effects[others], axis=0, weights=weights[others])
        found.append(np.corrcoef(effects[i], mean)[0, 1])
    return float(np.average(found, weights=weights))


def test_it_is_what_its_formula_says(embedding: Path) -> None:
    index = make_index()
    known = Confidence.of(index, TRAIN, embedding=str(embedding))
    effects = index.deltas(TRAIN).astype(float)
    for row in range(len(TRAIN)):  # the own target is as in the others
        effects[row, row] = np.nan
    effects = np.where(np.isnan(effects), np.nanmean(effects, axis=0), effects)
    reliability = correct_spearman_brown(correlate_halves(*half_deltas(index, TRAIN)))
    x, y = (known.features.rows(own, missing="mean").astype(float) for own in (["NEAR"], TRAIN))
    cosine = (x @ y.T)[0] / np.linalg.norm(x) / np.linalg.norm(y, axis=1)
    nearest = np.argsort(-cosine)[:NEIGHBOURS]
    weights = np.exp(cosine[nearest] / TEMPERATURE) * reliability[nearest]
    near, of_all = plain_agreement(effects[nearest], weights), plain_agreement(effects, reliability)
    assert known.measure(["NEAR", "UNKNOWN"]) == pytest.approx([near, of_all], abs=1e-4)
    assert known.measure(["NEAR+UNKNOWN"])[0] == pytest.approx((near + of_all) / 2, abs=1e-4)


def test_it_is_high_where_neighbours_agree(embedding: Path) -> None:
    known = Confidence.of(make_index(), TRAIN, embedding=str(embedding))
    near, far, both, unknown, half = known.measure(ASKED)
    assert near > 0.9 and far < 0.2 and far < both < near and far < unknown < near and unknown < half < near


def test_held_out_effects_are_never_read(embedding: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row of a perturbation that is not in training is poisoned, in means and in halves."""
    index, model = make_index(), make_model("ridge", {"embedding": str(embedding)})
    model.trained_on = tuple(TRAIN)
    honest = measure_confidence(model, index, ASKED)
    held_out = index.rows(["NEAR", "FAR"])
    for name in ("mean", "variance"):
        index._arrays[name][held_out] = np.nan
    index._arrays["half_mean"][:, held_out] = np.nan
    assert measure_confidence(model, index, ASKED) == honest
    assert all(isinstance(value, float) for value in honest.values())
    model.trained_on = (*TRAIN, "NEAR")  # and it would be seen if they were
    assert measure_confidence(model, index, ASKED) != honest


def test_it_does_not_depend_on_who_else_is_asked(embedding: Path) -> None:
    known = Confidence.of(make_index(), TRAIN, embedding=str(embedding))
    alone = [float(known.measure([label])[0]) for label in ASKED]
    assert known.measure(ASKED) == pytest.approx(alone)


def test_nothing_is_told_of_too_few_or_without_the_vectors(embedding: Path) -> None:
    index, model = make_index(), make_model("ridge", {"embedding": str(embedding)})
    model.trained_on = tuple(TRAIN[: LEAST - 1])
    assert measure_confidence(model, index, ["NEAR"]) == {"NEAR": None}
    model.trained_on = tuple(TRAIN)
    embedding.unlink()
    assert measure_confidence(model, index, ["NEAR"]) == {"NEAR": None}


def test_only_effects_of_the_same_context_count(embedding: Path) -> None:
    """In context B nothing agrees, whatever it is in A."""
    one, two = make_index(seed=0), make_index(seed=1)
    labels = [f"{label}@{context}" for context in "AB" for label in TRAIN]
    rng = np.random.default_rng(3)
    strange = two._means[:1] + rng.normal(0, 0.3, (len(TRAIN), len(GENES)))
    means = np.vstack([one._means[:1], two._means[:1], one._means[1:25], strange])
    index = ToyIndex(labels, GENES, means=means)
    known = Confidence.of(index, labels, embedding=str(embedding))
    [in_a, in_b] = known.measure(["NEAR@A", "NEAR@B"])
    assert in_a == pytest.approx(Confidence.of(one, TRAIN, embedding=str(embedding)).measure(["NEAR"])[0], abs=0.02)
    assert in_b < 0.3 < in_a


def test_what_is_less_reliable_counts_less(embedding: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours that are noise lower the confidence less where their halves say so."""
    index = make_index()
    noisy = index.rows(TRAIN[:4])
    rng = np.random.default_rng(4)
    index._means[noisy] = index._means[0] + rng.normal(0, 0.5, (4, len(GENES)))
    index._arrays["half_mean"][:] = index._means
    sure = Confidence.of(index, TRAIN, embedding=str(embedding)).measure(["NEAR"])[0]
    index._arrays["half_mean"][:, noisy] = index._means[0] + rng.normal(0, 0.5, (2, 4, len(GENES)))
    assert Confidence.of(index, TRAIN, embedding=str(embedding)).measure(["NEAR"])[0] > sure + 0.1
    monkeypatch.setattr(module, "ASSUMED", 1.0)
    index._arrays["half_mean"][:] = np.nan  # pseudobulks have no halves: all count alike
    assert Confidence.of(index, TRAIN, embedding=str(embedding)).measure(["NEAR"])[0] == pytest.approx(sure, abs=0.02)
