"""PDS by the cosine of deltas: the rank of the right perturbation, whatever the amplitude of the prediction."""

import numpy as np

from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.profiles import Profiles


@metric(
    "pds_cosine_means",
    label="PDS (cosine, of mean log1p)",
    best="high",
    range="0 to 1, 0.5 by chance",
    source="like pds_cosine of 2026, but on deltas of mean log1p instead of pooled counts",
)
def pds_cosine_means(real: Profiles, predicted: Profiles) -> np.ndarray:
    return rank_by_cosine(real, real.deltas, predicted.deltas)


def rank_by_cosine(real: Profiles, truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """1 - k / (n - 1), k the rank of the own real effect by 1 - cosine, in the middle of its ties; NaN where n is 1.

    truth, guess : (n, n_genes) effects. Genes that have the name of any perturbation are left out. An effect of norm
    zero is at distance 1 from all.
    """
    n = len(truth)
    if n < 2:
        return np.full(n, np.nan)
    kept = ~np.isin(real.genes, real.labels)
    truth, guess = truth[:, kept], guess[:, kept]
    # In this order, because equal effects must come out at equal distances, to the last bit, as in the official scorer.
    cosine = guess @ truth.T
    norms = [np.sqrt(np.einsum("ij,ij->i", effects, effects)) for effects in (guess, truth)]
    norm = norms[0][:, None] * norms[1][None, :]
    distance = np.clip(1 - np.divide(cosine, norm, out=np.zeros_like(cosine), where=norm != 0), 0, 2)
    own = np.diagonal(distance)[:, None]
    rank = (distance < own).sum(axis=1) + ((distance == own).sum(axis=1) - 1) / 2
    return 1 - rank / (n - 1)
