"""How strongly predicted deviations are drawn.

Least squares shrinks what it cannot know, which is best for the error of each gene. But among perturbations that all
look alike the right one is hard to tell: PDS, which ranks by distance, gains from deviations as strong as real ones.
The challenge of 2025 weighs both (https://virtualcellchallenge.org/evaluation): a share of the way from the mean
effect to a perfect prediction in PDS, where the mean has 0.5, and in MAE. Leaving each perturbation out tells their sum
for each strength.
"""

import numpy as np

STRENGTHS = (1.0, 1.25, 1.5, 1.75, 2.0)
MIN_JUDGED = 20
"""Perturbations below which PDS is too coarse to choose by: then the strength is 1."""
MAX_JUDGED = 128
"""Perturbations that are judged at most: their distances take seconds with all genes."""


def judged_rows(n: int) -> np.ndarray:
    """Which of n perturbations are judged."""
    return np.unique(np.linspace(0, n - 1, min(n, MAX_JUDGED)).astype(int))


def choose_strength(effects: np.ndarray, means: np.ndarray, predicted: np.ndarray) -> float:
    """The strength s of STRENGTHS for which means + s (predicted - means) scores best; 1 for fewer than MIN_JUDGED.

    effects : (n, n_genes) real, own targets masked; means, predicted : the same of the mean effect and of the model,
    each by a fit without that perturbation
    """
    from scipy.spatial.distance import cdist  # a tenth of a second, which most commands need not wait

    if len(effects) < MIN_JUDGED:
        return 1.0
    deviations = predicted - means
    floor = np.abs(means - effects).mean()
    scores = []
    for strength in STRENGTHS:
        distances = cdist(means + strength * deviations, effects, "cityblock")
        own = np.diag(distances)
        pds = 1 - (distances < own[:, None]).mean()
        scores.append(2 * pds - own.mean() / effects.shape[1] / max(floor, 1e-12))
    return STRENGTHS[int(np.argmax(scores))]
