"""Held-out perturbations, their predictions made ready, and what each setting scores on them.

    pool = Pool(index, labels, parts)
    pool.score(Setting(amplitude=0.8))       # (n, METRICS): those of `compute_metrics` to 1e-9, in milliseconds

One pass over the genes gives what all metrics need, without own targets; these are added in closed form. Distances are
summed in float32, and exactly where that could change a rank.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import pandas as pd

from vccapp.data.resources import count_threads
from vccapp.data.schema import context_of, positions_of
from vccapp.models.calibration.prepared import Prepared
from vccapp.models.calibration.setting import Setting
from vccapp.stats.pseudobulks import Pseudobulks

METRICS = ("pearson_delta", "pds", "mae")
KEPT_BYTES = 64_000_000
"""Of distances that a pool keeps."""
MOST_KEPT = 4000
"""Settings whose scores it keeps."""


@dataclass(frozen=True)
class Rest:
    """Of a setting without own targets.

    distances : (n, n) float64 to real effects, within contexts; exact : (n, n) bool, others to `kernels.ERROR`
    sums : (n, 4) of `kernels.sum_rows`
    """

    distances: np.ndarray
    exact: np.ndarray
    sums: np.ndarray


@dataclass(eq=False)
class Pool:
    """labels : sorted; parts : of each run, the rows of its perturbations among them, and their predictions.

    Holds 12 bytes a value of (n, n_genes) beside what the parts do, and 8 to 16 more while it scores.
    """

    index: Pseudobulks
    labels: tuple[str, ...]
    parts: Sequence[tuple[np.ndarray, Prepared]]
    _rests: OrderedDict[Setting, Rest] = field(default_factory=OrderedDict, repr=False)
    _scores: dict[Setting, np.ndarray] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        control = self.index.control_means(self.labels).astype(np.float64)
        self._truth = self.index.means(self.labels).astype(np.float64) - control
        self._rounded = self._truth.astype(np.float32)
        self._mean = self._truth.mean(axis=1)
        self._spread = np.sqrt(np.square(self._truth - self._mean[:, None]).sum(axis=1))
        contexts = pd.factorize(np.array([context_of(label) or "" for label in self.labels]))[0]
        self._groups = [np.flatnonzero(contexts == group) for group in range(contexts.max() + 1)]
        position = positions_of(self.index.genes["gene"])
        self._own_gene = np.array([position.get(label, -1) for label in self.labels])
        rows = [np.asarray(at)[prepared.own[0]] for at, prepared in self.parts]
        columns = [prepared.own[1] for _, prepared in self.parts]
        self._own = (np.concatenate(rows), np.concatenate(columns))

    @property
    def most_components(self) -> int:
        """Components that all of the runs' data have."""
        return min(prepared.basis.components.shape[1] for _, prepared in self.parts)

    def predict(self, setting: Setting) -> np.ndarray:
        """(n, n_genes) float32 calibrated deltas."""
        return self._gather(setting, Prepared.apply)

    def score(self, setting: Setting) -> np.ndarray:
        """(n, METRICS) float64, NaN where undefined; to be read only."""
        with self._lock:  # visits share a pool
            if setting not in self._scores:
                if len(self._scores) > MOST_KEPT:
                    self._scores.clear()
                self._scores[setting] = self._score(setting)
            return self._scores[setting]

    def _gather(self, setting: Setting, make: Callable[[Prepared, Setting], np.ndarray]) -> np.ndarray:
        out = np.empty((len(self.labels), len(self.index.genes)), np.float32)
        for rows, prepared in self.parts:
            out[rows] = make(prepared, setting)
        return out

    def _measure(self, setting: Setting) -> Rest:
        """Of the setting with own targets as predicted, which take no part."""
        from vccapp.evaluation.calibration.kernels import sum_distances, sum_rows

        if setting in self._rests:
            self._rests.move_to_end(setting)
            return self._rests[setting]
        guess = self._gather(setting, Prepared.shape_rest)
        sums = sum_rows(guess, self._truth)
        distances = np.full((len(guess),) * 2, np.nan)
        for rows in self._groups:
            distances[np.ix_(rows, rows)] = sum_distances(guess[rows], self._rounded[rows], count_threads())
        np.fill_diagonal(distances, sums[:, 0])
        rest = Rest(distances, np.eye(len(guess), dtype=bool), sums)
        self._make_exact(rest, self._shift(self._own_deltas(setting)), lambda: guess)
        self._rests[setting] = rest
        while len(self._rests) > max(1, KEPT_BYTES // distances.nbytes):
            self._rests.popitem(last=False)
        return rest

    def _make_exact(self, rest: Rest, shift: np.ndarray, make_guess: Callable[[], np.ndarray]) -> None:
        """Sum again in float64 those distances that may change a rank. shift : to be added to all"""
        from vccapp.evaluation.calibration.kernels import ERROR, sum_pair

        whole = rest.distances + shift
        error = ERROR * (rest.distances + rest.sums[:, [0]])
        near = np.argwhere((np.abs(whole - np.diagonal(whole)[:, None]) <= error) & ~rest.exact)
        guess = make_guess() if len(near) else None
        for row, other in near:
            if guess is not None:
                rest.distances[row, other] = sum_pair(guess[row], self._truth[other])
                rest.exact[row, other] = True

    def _own_deltas(self, setting: Setting) -> np.ndarray:
        """(own,) float64 deltas of own targets."""
        return np.concatenate([prepared.set_own(setting) for _, prepared in self.parts]).astype(np.float64)

    def _shift(self, own: np.ndarray) -> np.ndarray:
        """(n, n) what own targets add to the distances of the rest, which is 0 there; the own gene adds nothing."""
        rows, columns = self._own
        truth = self._truth[:, columns].T
        change = np.where((columns == self._own_gene[rows])[:, None], 0, np.abs(own[:, None] - truth)) - np.abs(truth)
        shift = np.zeros((len(self.labels),) * 2)
        np.add.at(shift, rows, change)
        return shift

    def _score(self, setting: Setting) -> np.ndarray:
        without = setting.model_copy(update={"target_level": None})
        rest = self._measure(without)
        rows, columns = self._own
        own = self._own_deltas(setting)
        sums, truth = rest.sums.copy(), self._truth[rows, columns]
        np.add.at(sums, rows, np.stack([np.abs(own - truth) - np.abs(truth), own, own**2, own * truth], axis=1))
        n_genes = self._truth.shape[1]
        return np.stack([self._correlate(sums), self._rank(without, rest, own), sums[:, 0] / n_genes], axis=1)

    def _correlate(self, sums: np.ndarray) -> np.ndarray:
        """(n,) Pearson correlations; NaN where one of the two is constant."""
        variance = sums[:, 2] - sums[:, 1] ** 2 / self._truth.shape[1]
        own = np.sqrt(np.where(variance > 1e-12 * sums[:, 2], variance, np.nan))
        covariance, known = sums[:, 3] - sums[:, 1] * self._mean, self._spread > 0
        return np.clip(np.divide(covariance, own * self._spread, out=np.full(len(own), np.nan), where=known), -1, 1)

    def _rank(self, setting: Setting, rest: Rest, own: np.ndarray) -> np.ndarray:
        """(n,) PDS of 2025: the rank of its own real effect by L1 distance, its own gene left out."""
        shift = self._shift(own)
        self._make_exact(rest, shift, lambda: self._gather(setting, Prepared.shape_rest))
        whole, out = rest.distances + shift, np.full(len(self.labels), np.nan)
        for group in self._groups:
            if len(group) > 1:
                order = np.argsort(whole[np.ix_(group, group)], axis=1)
                out[group] = 1 - np.argmax(order == np.arange(len(group))[:, None], axis=1) / len(group)
        return out
