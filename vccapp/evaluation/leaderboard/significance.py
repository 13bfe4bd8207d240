"""How surely rows of the leaderboard differ: paired over the perturbations, resampled, corrected for their number.

scores : one row a perturbation, one column a group: the scores of one metric, NaN where undefined

The perturbations are taken as independent, which ranks among each other (PDS) are not quite.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

EXACT = 16
"""Up to so many differences all 2^n signs are counted; beyond, DRAWS of them are drawn."""
DRAWS = 10_000


def mean_over_seeds(entries: pd.DataFrame, tables: Mapping[str, pd.DataFrame], metric: str) -> pd.DataFrame:
    """`scores` of one metric: perturbation x group, the mean over the seeds that have the metric defined.

    tables : by run, columns perturbation and metrics; runs without the metric are left out.
    """
    columns = {run: table.set_index("perturbation")[metric] for run, table in tables.items() if metric in table}
    frame = pd.DataFrame({run: columns[run] for run in entries["run"] if run in columns})
    by_group = dict(zip(entries["run"], entries["group"], strict=True))
    return frame.T.groupby(by_group, sort=False).mean().T.rename_axis("perturbation")


def compare_groups(scores: pd.DataFrame, reference: str, *, seed: int = 0, draws: int = DRAWS) -> pd.DataFrame:
    """Each other group against `reference`, paired over the perturbations that both have.

    Columns: group, n (pairs), difference (mean, group minus reference), low and high (95 % percentile bootstrap of
    the mean over perturbations), p (two-sided, signs of the differences flipped: exact up to EXACT differences that
    are not zero, else of `draws` drawn ones, the observed among them), p_holm (Holm over the groups).
    """
    rows = []
    for group in scores.columns.drop(reference):
        pairs = (scores[group] - scores[reference]).dropna().to_numpy(float)
        n = len(pairs)
        row = {"group": group, "n": n, "difference": np.nan, "low": np.nan, "high": np.nan, "p": np.nan}
        if n:
            low, high = _bootstrap_mean(pairs, seed, draws=draws)
            row |= {"difference": pairs.mean(), "low": low, "high": high, "p": flip_signs(pairs, seed, draws=draws)}
        rows.append(row)
    found = pd.DataFrame(rows, columns=["group", "n", "difference", "low", "high", "p"])
    return found.assign(p_holm=adjust_holm(found["p"].to_numpy(float)))


def _bootstrap_mean(values: np.ndarray, seed: int, *, draws: int) -> tuple[float, float]:
    """95 % percentile interval of the mean; equally many values, as of another group, are drawn alike."""
    from scipy.stats import bootstrap  # half a second, which most commands need not wait

    if len(values) == 1:
        return values[0], values[0]
    found = bootstrap((values,), np.mean, n_resamples=draws, method="percentile", rng=np.random.default_rng(seed))
    return found.confidence_interval


def flip_signs(differences: np.ndarray, seed: int, *, draws: int = DRAWS) -> float:
    """Two-sided p of the paired permutation test on the mean difference (Fisher's randomisation test).

    Own code, as `scipy.stats.permutation_test` takes ten times as long, 0.1 s for each row of the leaderboard.
    """
    values = differences[differences != 0]
    if not len(values):
        return 1.0
    observed = abs(values.sum()) * (1 - 1e-12) - 1e-12 * np.abs(values).max()  # equal sums differ in the last digits
    if len(values) <= EXACT:
        patterns = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float((np.abs((1 - 2 * patterns) @ values) >= observed).mean())
    signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0], np.float32), size=(draws, len(values)))
    return float((1 + (np.abs(signs @ values) >= observed).sum()) / (1 + draws))


def adjust_holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down p-values; NaN stays NaN and does not count."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    stepped = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
