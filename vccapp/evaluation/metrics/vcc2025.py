"""The three metrics of the Virtual Cell Challenge 2025, equal to those of cell-eval 0.8.2 (`run --profile vcc`)."""

from functools import partial

import numpy as np

from vccapp.evaluation.metrics.base import metric
from vccapp.evaluation.profiles import Profiles, known

metric_2025 = partial(metric, source="cell-eval 0.8.2", season="2025")


@metric_2025(
    "des",
    label="DES",
    best="high",
    range="0 to 1",
    official="overlap_at_N",
    needs="de",
)
def des(real: Profiles, predicted: Profiles) -> np.ndarray:
    """Share of the N real DEGs that are among the first N predicted DEGs by |log2 fold change|; 0 where there are none.

    Infinite fold changes come first.
    """
    out = np.zeros(len(real.labels))
    table = known(predicted.de)
    for row, truth in enumerate(map(np.flatnonzero, known(real.de).significant)):
        guess = np.flatnonzero(table.significant[row])
        if len(truth) and len(guess):
            first = guess[_largest(np.abs(table.lfc[row, guess]), len(truth))]
            out[row] = np.isin(truth, first).sum() / len(truth)
    return out


@metric_2025(
    "pds",
    label="PDS (L1)",
    best="high",
    range="1/n to 1, about 0.5 by chance",
    official="discrimination_score_l1",
)
def pds(real: Profiles, predicted: Profiles) -> np.ndarray:
    """1 - rank / n of the perturbation among all real ones by L1 distance of deltas, its own gene left out.

    It depends on the panel of n perturbations; one alone has none to be told from: NaN. Ties are ranked as the official
    scorer ranks them, by numpy's argsort.
    """
    from scipy.spatial.distance import cdist

    truth, guess = real.deltas.copy(), predicted.deltas.copy()
    out = np.full(len(truth), np.nan)
    if len(truth) < 2:
        return out
    for row, label in enumerate(real.labels):
        own = real.genes == label
        left_out = truth[:, own]
        truth[:, own] = guess[row, own] = 0  # which adds nothing to a distance
        distances = cdist(truth, guess[row : row + 1], "cityblock").ravel()
        truth[:, own] = left_out
        out[row] = 1 - np.flatnonzero(np.argsort(distances) == row)[0] / len(truth)
    return out


@metric_2025("mae", label="MAE", unit="log1p", best="low", range="0 or more", official="mae")
def mae(real: Profiles, predicted: Profiles) -> np.ndarray:
    """Mean over genes of |predicted - real mean log1p|."""
    return np.abs(predicted.means - real.means).mean(axis=1)


def _largest(sizes: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` largest of `sizes`, float32.

    Where some of several equal ones must go, as happens among infinite fold changes, the official scorer leaves the
    choice to an unstable sort of polars; so the choice is left to it here.
    """
    order = np.argsort(-sizes, kind="stable")
    if count < len(order) and sizes[order[count - 1]] == sizes[order[count]]:
        import polars as pl

        ranks = pl.DataFrame({"size": sizes}).select(pl.struct("size").rank("ordinal", descending=True))
        order = np.argsort(ranks.to_series().to_numpy())
    return order[:count]
