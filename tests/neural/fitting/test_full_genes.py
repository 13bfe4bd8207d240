"""The map from modelled genes to all: exact where effects are of few kinds, the mean where nothing can be told."""

import numpy as np
import pytest
from toy_index import ToyIndex

from vccapp.neural.fitting.full_genes import FullGenes

LABELS = [f"P{i}" for i in range(40)]
GENES = [f"G{i}" for i in range(60)]
MODELLED = np.arange(0, 60, 3)


def make_index(deltas: np.ndarray) -> ToyIndex:
    control = np.random.default_rng(9).gamma(2.0, 0.5, 60) + 5
    return ToyIndex(LABELS, GENES, means=np.vstack([control, control + deltas]))


def low_rank(*, noise: float = 0.0) -> np.ndarray:
    """(40, 60) effects made of two programmes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 2)) @ rng.normal(size=(2, 60)) + 0.3 + noise * rng.normal(size=(40, 60))


def test_effects_of_few_programmes_are_completed() -> None:
    deltas = low_rank()
    fitted = FullGenes.fit(make_index(deltas), LABELS[:30], MODELLED)
    found = fitted.complete(deltas[30:, MODELLED].astype(np.float32))
    np.testing.assert_allclose(found, deltas[30:], atol=2e-3)
    np.testing.assert_array_equal(found[:, MODELLED], deltas[30:, MODELLED].astype(np.float32))


def test_unrelated_genes_get_their_mean_effect() -> None:
    deltas = np.random.default_rng(1).normal(size=(40, 60)) + 0.5
    fitted = FullGenes.fit(make_index(deltas), LABELS[:30], MODELLED)
    found = fitted.complete(deltas[30:, MODELLED].astype(np.float32))[:, fitted.others]
    mean = deltas[:30, fitted.others].mean(axis=0)
    assert np.abs(found - mean).max() < 0.35 < np.abs(deltas[30:, fitted.others] - mean).max()


def test_the_penalty_is_the_one_that_leaves_out_best() -> None:
    deltas = low_rank(noise=0.5)
    errors = {}
    for name in ("chosen", "mean", "none"):
        fitted = FullGenes.fit(make_index(deltas), LABELS[:30], MODELLED)
        if name == "mean":
            fitted._arrays["weights"][:] = 0
        if name == "none":
            known, wanted = (deltas[:30, at] - deltas[:30, at].mean(0) for at in (MODELLED, fitted.others))
            fitted._arrays["weights"] = np.linalg.pinv(known @ known.T, rcond=1e-6) @ wanted
        found = fitted.complete(deltas[30:, MODELLED].astype(np.float32))[:, fitted.others]
        errors[name] = np.square(found - deltas[30:, fitted.others]).mean()
    assert errors["chosen"] < min(errors["mean"], errors["none"])


def test_on_top_of_a_shift_only_what_is_beyond_it_is_carried_over() -> None:
    deltas = low_rank().astype(np.float32)
    fitted = FullGenes.fit(make_index(deltas), LABELS[:30], MODELLED)
    shift = 0.5 * deltas[30:] + 0.15  # half of the programmes, and all of the mean
    np.testing.assert_allclose(fitted.complete(shift[:, MODELLED], shift=shift), shift, atol=1e-6)
    np.testing.assert_allclose(fitted.complete(deltas[30:, MODELLED], shift=shift), deltas[30:], atol=5e-3)


@pytest.mark.parametrize("modelled", [MODELLED, np.arange(60)])
def test_state_and_restore(modelled: np.ndarray) -> None:
    deltas = low_rank(noise=0.1).astype(np.float32)
    fitted = FullGenes.fit(make_index(deltas), LABELS[:30], modelled)
    again = FullGenes.restore(fitted.arrays())
    np.testing.assert_array_equal(fitted.complete(deltas[:, modelled]), again.complete(deltas[:, modelled]))
