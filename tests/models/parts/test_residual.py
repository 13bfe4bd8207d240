"""How much of what a network adds is right: found again where it is known, own targets apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_index import ToyIndex

from vccapp.data.splits.split import Split
from vccapp.models.parts.residual import fit_share, measure_gain, predict_unseen

GENES = [f"GENE{i}" for i in range(60)]
LABELS = GENES[:4]


@settings(max_examples=30, deadline=None)
@given(share=st.floats(-1, 2), target=st.floats(-9, 9))
def test_a_known_share_is_found_within_its_bounds(share: float, target: float) -> None:
    base, added = np.random.default_rng(0).normal(0, 0.3, (2, len(LABELS), len(GENES))).astype(np.float32)
    effects = base + share * added
    effects[range(4), range(4)] = target
    control = np.full((1, len(GENES)), 10.0)
    index = ToyIndex(LABELS, GENES, means=np.vstack([control, control + effects]))
    assert fit_share(index, LABELS, base, base + added) == pytest.approx(np.clip(share, 0, 1), abs=1e-4)
    assert fit_share(index, LABELS, base, base) == 1


def index_of(effects: np.ndarray) -> ToyIndex:
    control = np.full((1, len(GENES)), 10.0)
    return ToyIndex(LABELS, GENES, means=np.vstack([control, control + effects]))


@pytest.mark.parametrize(("share", "gain"), [(0.5, 1.0), (2.0, 0.75), (-0.5, 0.0), (0.0, 0.0)])
def test_the_gain_of_a_right_share_is_all_that_was_missing(share: float, gain: float) -> None:
    base, added = np.random.default_rng(0).normal(0, 0.3, (2, len(LABELS), len(GENES))).astype(np.float32)
    added[range(4), range(4)] = 0  # own targets are no gain
    found = measure_gain(index_of(base + share * added), LABELS, base, base + added)
    assert found == pytest.approx(gain, abs=1e-3)


def test_noise_has_no_gain_though_a_share_fits_it() -> None:
    """The share of a perturbation is that of the others: fitted on all of them noise always seems to help."""
    found, fitted = [], []
    for seed in range(200):
        base, added, missing = np.random.default_rng(seed).normal(0, 0.3, (3, 4, len(GENES))).astype(np.float32)
        index = index_of(base + missing)
        found.append(measure_gain(index, LABELS, base, base + added))
        fitted.append(fit_share(index, LABELS, base, base + added))
    assert np.mean(found) < 0 and np.mean(np.array(found) > 0) < 0.5 and np.mean(np.array(fitted) > 0) > 0.4


def test_a_single_perturbation_is_its_own_judge() -> None:
    base, added = np.random.default_rng(0).normal(0, 0.3, (2, 4, len(GENES))).astype(np.float32)
    index = index_of(base + 0.5 * added)
    assert measure_gain(index, LABELS[:1], base[:1], (base + added)[:1]) > 0.9


class Witness:
    """A model that predicts how many of the labels it was fitted on have the target of each that it is asked for."""

    def fit(self, index: ToyIndex, split: Split, *, seed: int) -> "Witness":
        self.known = [label.partition("@")[0] for label in split.train]
        return self

    def predict(self, labels: list[str]) -> np.ndarray:
        return np.repeat([[self.known.count(label.partition("@")[0])] for label in labels], len(GENES), axis=1)


@pytest.mark.parametrize(("test", "others"), [(("NEW@A", "NEW@B"), 0), (("GENE0@C",), 1), ((), 0)])
def test_what_is_left_out_is_unknown_as_what_is_asked_for(test: tuple[str, ...], others: int) -> None:
    """A target in another context would tell the very effect. Where that is what is asked for, it may be known."""
    train = tuple(f"{gene}@{context}" for gene in GENES[:12] for context in "AB")
    split = Split(name="s", dataset="d", method="lists", seed=0, train=train, val=(), test=test)
    known = predict_unseen(Witness, index_of(np.zeros((4, len(GENES)))), split, seed=0)
    assert (known == 0).all() if not others else (known >= 0).all() and known.mean() > 0.7
