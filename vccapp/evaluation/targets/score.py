"""How much effects look like a signature.

The score is the extreme cosine: the signature's genes that change most, all others 0, against the specific effect over
all genes that the signature knows, own targets hidden. Its p is that of random signatures of the same strength: the
same values, dealt to the genes in the order of random mixtures of the library's other effects, so that genes that
change together do so in these, too.
"""

from dataclasses import dataclass

import numpy as np

from vccapp.evaluation.targets.library import ALIKE, Effects
from vccapp.stats.halves import correlate_halves

EXTREMES = 150
"""Genes up, and genes down, that count."""
RANDOM = 48
"""Random signatures."""
MIXED = 128
"""Effects that random signatures are mixed from, at most."""


def keep_extremes(values: np.ndarray, number: int = EXTREMES) -> np.ndarray:
    """(m, k) values, of one (k,) too, with all but the `number` most positive and most negative at 0.

    Ties are kept together, so that the order of genes does not matter.
    """
    values = np.atleast_2d(values)
    if values.shape[1] <= number:
        return values.copy()
    ranked = np.sort(values, axis=1)
    high = (values >= ranked[:, -number, None]) & (values > 0)
    low = (values <= ranked[:, number - 1, None]) & (values < 0)
    return np.where(high | low, values, 0).astype(values.dtype)


@dataclass(frozen=True)
class Scores:
    """Of n effects with m signatures: cosine (n, m) float64; spearman (n,) with the first of them.

    NaN where an effect has nothing of its own, or a signature no gene that is not hidden.
    """

    cosine: np.ndarray
    spearman: np.ndarray


def score_effects(effects: Effects, places: np.ndarray, signatures: np.ndarray) -> Scores:
    """Cosines with signatures (m, places), each over the genes that are not hidden, in one pass over the effects.

    Spearman's correlation is over the genes at which the first signature is not 0.
    """
    mean = effects.mean[places].astype(np.float32)
    columns = np.ascontiguousarray(np.vstack([mean, signatures]).T, np.float32)
    squares, with_mean = np.square(columns, dtype=np.float64), columns.astype(np.float64) * mean[:, None]
    all_squares, all_with_mean = squares.sum(axis=0), with_mean.sum(axis=0)
    cosine = np.empty((len(effects.labels), len(signatures)))
    spearman = np.empty(len(effects.labels))
    kept = np.flatnonzero(signatures[0])
    for rows, block, hidden in effects.blocks(places):
        dots = (block @ columns).astype(np.float64)
        own = np.einsum("ij,ij->i", block, block).astype(np.float64)
        lengths = _less(all_squares, squares, hidden, len(rows))
        shared = _less(all_with_mean, with_mean, hidden, len(rows))
        along = np.divide(dots[:, 0], lengths[:, 0], out=np.zeros(len(rows)), where=lengths[:, 0] > 0)
        left = own - along * dots[:, 0]
        left[left <= ALIKE * own] = np.nan
        reach = lengths[:, 1:]
        reach[reach <= 1e-9 * all_squares[1:]] = np.nan
        cosine[rows] = (dots[:, 1:] - along[:, None] * shared[:, 1:]) / np.sqrt(left[:, None] * reach)
        specific = block[:, kept] - along[:, None].astype(np.float32) * mean[kept]
        spearman[rows] = _correlate_ranks(specific, signatures[0, kept], hidden, kept)
        spearman[rows[np.isnan(left)]] = np.nan
    return Scores(cosine, spearman)


def _less(total: np.ndarray, products: np.ndarray, hidden: np.ndarray, n_rows: int) -> np.ndarray:
    """(n_rows, m) sums of (places, m), `total` over all places, without the places that are hidden in each row."""
    sums = np.tile(total, (n_rows, 1))
    np.subtract.at(sums, hidden[0], products[hidden[1]])
    return sums


def _correlate_ranks(block: np.ndarray, values: np.ndarray, hidden: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(rows,) Spearman's correlation of each row with `values`, without its hidden genes.

    kept : place of each column
    """
    out = correlate_halves(np.tile(_rank(values[None]), (len(block), 1)), _rank(block))
    inside = np.isin(hidden[1], kept)
    rows, columns = hidden[0, inside], np.searchsorted(kept, hidden[1, inside])
    for row in np.unique(rows):
        sides = (_rank(np.delete(side, columns[rows == row])[None]) for side in (values, block[row]))
        out[row] = correlate_halves(*sides)[0]
    return out


def _rank(rows: np.ndarray) -> np.ndarray:
    """Ranks within each row, ties averaged, as `scipy.stats.rankdata`, which is slow where there are none."""
    order = np.argsort(rows, axis=1)
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, rows.shape[1] + 1)[None], axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    tied = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if len(tied):
        from scipy.stats import rankdata

        ranks[tied] = rankdata(rows[tied], axis=1)
    return ranks


@dataclass(frozen=True)
class Random:
    """signatures : (m, places); weights : (m, n effects) of each effect in the mixtures that they follow"""

    signatures: np.ndarray
    weights: np.ndarray


def draw_signatures(
    effects: Effects, places: np.ndarray, values: np.ndarray, *, number: int = RANDOM, seed: int = 0
) -> Random:
    """Random signatures with the values of one (places,), see the module."""
    rng = np.random.default_rng(seed)
    n = len(effects.labels)
    chosen = np.sort(rng.choice(n, min(n, MIXED), replace=False))
    weights = np.zeros((number, n), np.float32)
    weights[:, chosen] = rng.normal(size=(number, len(chosen)))
    block = effects.specific(places, chosen)
    mixed = weights[:, chosen] @ np.nan_to_num(block / np.linalg.norm(block, axis=1, keepdims=True))
    drawn = np.empty_like(mixed)
    np.put_along_axis(drawn, np.argsort(mixed, axis=1), np.sort(values)[None].astype(np.float32), axis=1)
    return Random(drawn, weights)


def compute_p(scores: np.ndarray, random: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) two-sided p of scores (n,) against those of random signatures (n, m), which are nearly normal.

    weights : (m, n) of the mixtures; what an effect's own part in them explains is taken out, so that it is compared
    with mixtures of the others
    """
    from scipy.special import stdtr

    m = random.shape[1]
    own = weights.T - weights.mean(axis=0)[:, None]
    room = np.square(own, dtype=np.float64).sum(axis=1)
    slope = np.divide((own * random).sum(axis=1), room, out=np.zeros(len(room)), where=room > 0)
    rest = random - slope[:, None] * weights.T
    spread = rest.std(axis=1, ddof=2) * np.sqrt(1 + 1 / m)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * stdtr(m - 2, -np.abs(scores - rest.mean(axis=1)) / spread)
