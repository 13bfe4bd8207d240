"""Amplitudes of a baseline and of what a network adds: found again where they are known, own targets apart."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_index import ToyIndex

from vccapp.models.amplitudes import MAX, Amplitudes

GENES = [f"GENE{i}" for i in range(60)]
LABELS = GENES[:4]


class Base:
    """A fitted baseline with made-up effects."""

    genes = np.array(GENES)

    def __init__(self, effects: np.ndarray) -> None:
        self.effects = effects.astype(np.float32)

    def predict(self, labels: list[str]) -> np.ndarray:
        return self.effects[[LABELS.index(label) for label in labels]]


def made_up(a: float, b: float) -> tuple[ToyIndex, Base, np.ndarray]:
    """An index whose effects are a base + b added, but on own targets; the base, and what is predicted with both."""
    rng = np.random.default_rng(0)
    base, added = rng.normal(0, 0.3, (2, len(LABELS), len(GENES)))
    effects = a * base + b * added
    effects[range(4), range(4)] = -9
    control = np.full((1, len(GENES)), 10.0)
    index = ToyIndex(LABELS, GENES, means=np.vstack([control, control + effects]))
    return index, Base(base), (base + added).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(a=st.floats(0, 2), b=st.floats(-0.5, 2))
def test_known_amplitudes_are_found_within_their_bounds(a: float, b: float) -> None:
    index, base, predicted = made_up(a, b)
    found = Amplitudes.fit(index, LABELS, base, predicted).values
    assert ((found >= 0) & (found <= MAX)).all()
    if 0.01 < a < MAX and 0.01 < b < MAX:
        np.testing.assert_allclose(found, [a, b], atol=1e-4)


def test_targets_stay_as_predicted_and_the_rest_is_scaled() -> None:
    index, base, predicted = made_up(0.5, 0.25)
    deltas = Amplitudes.fit(index, LABELS, base, predicted).apply(LABELS, base, predicted)
    others = ~np.eye(4, len(GENES), dtype=bool)
    np.testing.assert_allclose(deltas[others], index.deltas(LABELS)[others], atol=1e-4)
    np.testing.assert_array_equal(deltas[~others], predicted[~others])


def test_nothing_added_leaves_a_right_baseline_as_it_is() -> None:
    index, base, _ = made_up(1.0, 0.0)
    found = Amplitudes.fit(index, LABELS, base, base.effects)
    np.testing.assert_allclose(found.apply(LABELS, base, base.effects), base.effects, atol=1e-5)
