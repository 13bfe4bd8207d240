"""Two perturbations at once, as far as their effects add up: pairs of a ranking's best."""

import numpy as np
import pandas as pd

from vccapp.evaluation.targets.library import Effects

AMONG = 60
"""Effects, the best by themselves, that pairs are made of."""
SHOWN = 20
"""Pairs that are kept."""


def rank_pairs(
    effects: Effects, places: np.ndarray, strong: np.ndarray, cosine: np.ndarray, *, sign: int
) -> pd.DataFrame:
    """first, second, pair_cosine, better_cosine, gain; the best pair first, of those better than both by themselves.

    The effect of a pair is taken to be the sum of both specific effects. strong : (places,) the signature as it is
    scored; cosine : (n,) of each effect; sign : -1 where a negative cosine is sought
    """
    wished = np.where(np.isfinite(cosine), sign * cosine, -np.inf)
    chosen = [int(row) for row in np.argsort(-wished, kind="stable")[:AMONG] if wished[row] > 0]
    block = effects.specific(places, chosen).astype(np.float64)
    dots, products = block @ strong.astype(np.float64), block @ block.T
    one, two = np.triu_indices(len(chosen), 1)
    lengths = np.sqrt(np.diag(products)[one] + np.diag(products)[two] + 2 * products[one, two])
    together = (dots[one] + dots[two]) / (lengths * np.linalg.norm(strong.astype(np.float64)))
    names, single = np.array(effects.labels)[chosen], cosine[chosen]
    better = np.where(sign * single[one] >= sign * single[two], single[one], single[two])
    table = pd.DataFrame({"first": names[one], "second": names[two], "pair_cosine": together, "better_cosine": better})
    table["gain"] = sign * (table["pair_cosine"] - table["better_cosine"])
    table = table[table["gain"] > 0].sort_values("pair_cosine", ascending=sign < 0, kind="stable", ignore_index=True)
    return table.head(SHOWN)
