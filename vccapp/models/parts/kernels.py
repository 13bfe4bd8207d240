"""How well kernels predict what they have not seen, told by leaving each perturbation out, and how much each counts.

The smoother of kernel ridge gives the errors of leaving each perturbation out without refitting: residual_i /
(1 - H_ii) (Hastie, Tibshirani & Friedman 2009, 7.10, 5.8), and of a group G that is left out together (I - H_GG)^-1
residual_G. Of several kernels the sum sum_j w_j K_j is taken, w_j >= 0
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


def find_left(rest: np.ndarray, basis: np.ndarray, counts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n, n) in the same basis: row i is what a fit without the group of i leaves of it.

    rest, basis : (n, n), rest basis' is I - H but for the mean; counts : (n,); groups : (n,) numbers
    """
    mean = counts.astype(np.float64) / np.sqrt(counts @ counts)
    left = rest / np.maximum(np.einsum("ij,ij->i", rest, basis) - mean**2, 1e-9)[:, None]
    for group in np.flatnonzero(np.bincount(groups) > 1):
        own = np.flatnonzero(groups == group)
        inner = rest[own] @ basis[own].T - np.outer(mean[own], mean[own])
        left[own] = np.linalg.solve(inner + 1e-9 * np.eye(len(own)), rest[own])
    return left


def leave_out(
    kernel: np.ndarray,
    gram: np.ndarray,
    counts: np.ndarray,
    choices: np.ndarray = SHRINKAGE,
    *,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """lambda (choices,), and the squared error of leaving each perturbation out with its group (choices, n).

    kernel : (n, n); gram : (n, n) inner products of the deviations, which are orthogonal to counts; counts : (n,)
    groups : (n,) numbers; each perturbation by itself without them
    """
    groups = np.arange(len(counts)) if groups is None else groups
    values, vectors = np.linalg.eigh(residualise(kernel, counts))
    values = np.maximum(values, 0)
    lambdas = choices * max(values.mean(), 1e-12)
    inner = vectors.T @ gram @ vectors
    errors = np.empty((len(lambdas), len(counts)))
    for i, shrinkage in enumerate(lambdas):
        rest = vectors * (1 - values / (values + shrinkage))
        left = find_left(rest, vectors, counts, groups)
        errors[i] = np.einsum("ij,ij->i", left @ inner, left)
    return lambdas, errors


def learn_weights(
    kernels: np.ndarray, gram: np.ndarray, counts: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Weights (k,) that sum to 1, and how far they are from equal to the best ones, 0 to 1.

    kernels : (k, n, n), alike in scale; gram, counts, groups : as `leave_out` takes them
    """
    n_kernels, n = len(kernels), len(counts)
    equal = np.full(n_kernels, 1 / n_kernels)
    if n_kernels == 1 or n_kernels > MAX_LEARNT or n < MIN_LEARNT:
        return equal, 0.0

    def measure(weights: np.ndarray) -> np.ndarray:
        _, errors = leave_out(np.tensordot(weights, kernels, 1), gram, counts, COARSE, groups=groups)
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
