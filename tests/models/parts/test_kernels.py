"""Errors of leaving out are those of refitting; weights go to kernels that know something, and only then."""

import numpy as np
import pytest

from vccapp.models.parts.kernels import learn_weights, leave_out

N, N_GENES = 60, 40


def make_kernels(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Linear kernels (2, n, n) of two embeddings, and deviations (n, N_GENES) that the first decides on, with noise."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(2, n, 5))
    effects = vectors[0] @ rng.normal(size=(5, N_GENES)) + rng.normal(size=(n, N_GENES))
    return np.stack([own @ own.T / 5 for own in vectors]), effects - effects.mean(axis=0)


@pytest.mark.parametrize("groups", [np.arange(12), np.arange(12) // 3, np.arange(12) % 5])
def test_errors_of_a_weighted_sum_are_those_of_refitting(groups: np.ndarray) -> None:
    kernels, deviations = make_kernels(12)
    kernel = 0.3 * kernels[0] + 0.7 * kernels[1]
    gram, choices = deviations @ deviations.T, np.array([0.1, 2.0, np.inf])
    lambdas, errors = leave_out(kernel, gram, np.ones(12), choices, groups=groups)
    for shrinkage, found in zip(lambdas, errors, strict=True):
        for i in range(12):
            keep = np.flatnonzero(groups != groups[i])
            mean = deviations[keep].mean(axis=0)
            own = kernel[np.ix_(keep, keep)]
            centred = own - own.mean(axis=0) - own.mean(axis=1)[:, None] + own.mean()
            asked = kernel[i, keep] - own.mean(axis=0) - kernel[i, keep].mean() + own.mean()
            alpha = np.linalg.solve(centred + min(shrinkage, 1e12) * np.eye(len(keep)), deviations[keep] - mean)
            assert found[i] == pytest.approx(np.square(deviations[i] - mean - asked @ alpha).sum(), rel=1e-6)


def test_weights_go_to_the_kernel_that_knows() -> None:
    kernels, deviations = make_kernels(N)
    gram = deviations @ deviations.T
    weights, share = learn_weights(kernels, gram, np.ones(N))
    assert weights[0] > 0.8 and share > 0.8 and weights.sum() == pytest.approx(1)
    turned, _ = learn_weights(kernels[::-1], gram, np.ones(N))
    np.testing.assert_allclose(turned, weights[::-1])


def test_weights_stay_near_equal_where_nothing_tells_kernels_apart() -> None:
    few, deviations = make_kernels(4)
    assert learn_weights(few, deviations @ deviations.T, np.ones(4)) == (pytest.approx([0.5, 0.5]), 0.0)
    far = []
    for seed in range(10):
        kernels, _ = make_kernels(N, seed=seed)
        noise = np.random.default_rng(seed).normal(size=(N, N_GENES))
        noise -= noise.mean(axis=0)
        far.append(abs(learn_weights(kernels, noise @ noise.T, np.ones(N))[0][0] - 0.5))
    assert np.mean(far) < 0.15
