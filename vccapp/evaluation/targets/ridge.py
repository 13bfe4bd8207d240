"""A second opinion: the signature as a weighted sum of effects, by ridge regression.

A gene whose effect only resembles that of a better one gets little weight, and what two perturbations explain together
is shared between them. How strongly weights are shrunk is chosen by the error at genes that were held out, and what is
said of the fit is told by these, too.
"""

from dataclasses import dataclass

import numpy as np

from vccapp.evaluation.targets.library import Effects

MOST = 300
"""Effects in the sum; of larger libraries those whose cosine is largest."""
STRENGTHS = tuple(10.0**power for power in np.arange(-3, 4.0))
"""Ridge parameters that are tried, as multiples of the mean squared length of an effect."""


@dataclass(frozen=True)
class Ridge:
    """weights : (n effects,) positive ones mimic the signature; NaN for effects that are not in the sum

    held_out_r : Pearson's correlation of signature and sum over genes that the sum was not fitted to
    """

    weights: np.ndarray
    held_out_r: float


def fit_ridge(effects: Effects, places: np.ndarray, values: np.ndarray, cosine: np.ndarray, *, seed: int = 0) -> Ridge:
    """values : (places,) of the whole signature; cosine : (n,) by which effects are chosen where there are many"""
    weights = np.full(len(cosine), np.nan)
    usable = np.flatnonzero(np.isfinite(cosine))
    chosen = np.sort(usable[np.argsort(-np.abs(cosine[usable]), kind="stable")][:MOST])
    if not len(chosen):
        return Ridge(weights, float("nan"))
    block = effects.specific(places, chosen)
    half = np.random.default_rng(seed).permutation(len(places)) % 2 == 0
    scale = float(np.square(block, dtype=np.float64).sum() / len(block))
    sides = [(block[:, side], values[side]) for side in (half, ~half)]
    parts = [_decompose(*side) for side in sides]
    errors, fits = [], []
    for strength in STRENGTHS:
        found = [sides[1 - i][0].T @ _solve(*parts[i], strength * scale / 2).astype(np.float32) for i in (0, 1)]
        errors.append(sum(float(np.square(found[i] - sides[1 - i][1]).sum()) for i in (0, 1)))
        fits.append(float(np.mean([_correlate(found[i], sides[1 - i][1]) for i in (0, 1)])))
    best = int(np.argmin(errors))
    weights[chosen] = _solve(*_decompose(block, values), STRENGTHS[best] * scale)
    return Ridge(weights, fits[best])


def _decompose(block: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of the effects' products, and the products with the signature in these."""
    found, vectors = np.linalg.eigh((block @ block.T).astype(np.float64))
    return np.maximum(found, 0), vectors, vectors.T @ (block @ values).astype(np.float64)


def _solve(found: np.ndarray, vectors: np.ndarray, product: np.ndarray, ridge: float) -> np.ndarray:
    return vectors @ (product / (found + ridge))


def _correlate(first: np.ndarray, second: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(first, second)[0, 1])
