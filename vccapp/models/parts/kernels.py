"""How well kernels predict what they have not seen, told by leaving each perturbation out, and how much each counts.

The smoother of kernel ridge gives the errors of leaving each perturbation out without refitting: residual_i /
(1 - H_ii) (Hastie, Tibshirani & Friedman 2009, 7.10, 5.8). Of several kernels the sum sum_j w_j K_j is taken, w_j >= 0
and sum_j w_j = 1, with the weights on a grid that leave the smallest error. As the best of many is best by chance too,
they are drawn back to equal weights by (se / gain)^2, as James and Stein would: the gain over equal weights is paired
over the perturbations, se its standard error. With few perturbations, or kernels that do not differ, they stay equal.
"""

from collections.abc import Iterator

import numpy as np

SHRINKAGE = np.concatenate([np.geomspace(1e-3, 1e4, 43), [np.inf]])
"""Choices of lambda, in units of the mean eigenvalue of the kernel."""
COARSE = np.concatenate([np.geomspace(1e-3, 1e4, 15), [np.inf]])
"""The same while weights are compared."""
STEPS = 4
"""Weights are tried in steps of a quarter."""
MAX_LEARNT = 4
"""Kernels above which weights stay equal: there would be hundreds of choices."""
MIN_LEARNT = 5
"""Perturbations below which they do: no standard error is known well enough."""


def residualise(kernel: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The kernel of features made orthogonal to counts: with counts of 1, the centred kernel."""
    counts = counts.astype(np.float64)
    away = np.eye(len(counts)) - np.outer(counts, counts) / (counts @ counts)
    return away @ kernel @ away


def leave_out(
    kernel: np.ndarray, gram: np.ndarray, counts: np.ndarray, choices: np.ndarray = SHRINKAGE
) -> tuple[np.ndarray, np.ndarray]:
    """lambda (choices,), and the squared error of leaving each perturbation out (choices, n).

    kernel : (n, n); gram : (n, n) inner products of the deviations, which are orthogonal to counts; counts : (n,)
    """
    values, vectors = np.linalg.eigh(residualise(kernel, counts))
    values = np.maximum(values, 0)
    lambdas = choices * max(values.mean(), 1e-12)
    inner, squares = vectors.T @ gram @ vectors, vectors**2
    unshrunk = counts.astype(np.float64) ** 2 / (counts @ counts)
    errors = np.empty((len(lambdas), len(counts)))
    for i, shrinkage in enumerate(lambdas):
        kept = values / (values + shrinkage)
        rest = vectors * (1 - kept)
        left = np.einsum("ij,ij->i", rest @ inner, rest)
        errors[i] = left / np.maximum(1 - squares @ kept - unshrunk, 1e-9) ** 2
    return lambdas, errors


def learn_weights(kernels: np.ndarray, gram: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (k,) that sum to 1, and how far they are from equal to the best ones, 0 to 1.

    kernels : (k, n, n), alike in scale; gram, counts : as `leave_out` takes them
    """
    n_kernels, n = len(kernels), len(counts)
    equal = np.full(n_kernels, 1 / n_kernels)
    if n_kernels == 1 or n_kernels > MAX_LEARNT or n < MIN_LEARNT:
        return equal, 0.0

    def measure(weights: np.ndarray) -> np.ndarray:
        _, errors = leave_out(np.tensordot(weights, kernels, 1), gram, counts, COARSE)
        return errors[errors.sum(axis=1).argmin()]

    tried = [np.array(parts) / STEPS for parts in _share_out(STEPS, n_kernels)]
    errors = [measure(weights) for weights in tried]
    best = int(np.argmin([own.sum() for own in errors]))
    gains = measure(equal) - errors[best]
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(n))
    share = max(0.0, 1 - (error / gain) ** 2) if gain > 0 else 0.0
    return equal + share * (tried[best] - equal), share


def _share_out(total: int, n: int) -> Iterator[tuple[int, ...]]:
    """All ways to share `total` between n."""
    if n == 1:
        yield (total,)
        return
    for own in range(total + 1):
        for rest in _share_out(total - own, n - 1):
            yield (own, *rest)
