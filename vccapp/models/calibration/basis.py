"""What calibration needs of the data: from the controls and the training part alone.

    basis = measure_basis(index, split.train, n_components=10)

shared       mean effect of one silenced gene in each context, own targets masked
reliability  of each gene: how well two halves of the cells agree on the training effects (Spearman-Brown); own targets
             left out. 1 where nothing has halves
components   principal components of log1p control cells of each context, genes centred and not scaled
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vccapp.data.schema import positions_of
from vccapp.models.parts.effects import count_targets, fit_mean
from vccapp.models.parts.knockdown import mask_targets, own_targets
from vccapp.stats.halves import correct_spearman_brown, half_deltas, have_halves
from vccapp.stats.index import Index
from vccapp.stats.per_context import PerContext

MAX_CELLS = 1000
"""Control cells of a context, drawn by a fixed seed, that tell its components."""


@dataclass(frozen=True)
class Basis:
    """shared : (contexts, n_genes); reliability : (n_genes,) 0 to 1; components : (contexts, k, n_genes) orthonormal"""

    shared: PerContext
    reliability: np.ndarray
    components: np.ndarray


def measure_basis(index: Index, train: Sequence[str], *, n_components: int) -> Basis:
    """All float32. Fewer components where a context has fewer control cells than that."""
    labels, genes = list(train), index.genes["gene"].to_numpy(str)
    position = positions_of(genes)
    effects = mask_targets(index.deltas(labels), labels, position=position)
    shared = fit_mean(tuple(index.contexts), labels, effects, count_targets(labels))
    return Basis(shared, _measure_reliability(index, labels), find_components(index, n_components))


def _measure_reliability(index: Index, labels: Sequence[str]) -> np.ndarray:
    kept = [label for label, whole in zip(labels, have_halves(index, labels), strict=True) if whole]
    if not kept:
        return np.ones(len(index.genes), np.float32)
    first, second = (half.astype(np.float64) for half in half_deltas(index, kept))
    own = own_targets(kept, positions_of(index.genes["gene"].to_numpy(str)))
    first[own] = second[own] = 0
    square = (first**2 + second**2).sum(axis=0) / 2
    agreement = np.divide((first * second).sum(axis=0), square, out=np.ones_like(square), where=square > 0)
    return correct_spearman_brown(agreement).astype(np.float32)


def find_components(index: Index, n: int) -> np.ndarray:
    """(contexts, k, n_genes) float32, by the products of the cells, which are fewer than the genes."""
    if n == 0:
        return np.zeros((len(index.controls), 0, len(index.genes)), np.float32)
    label = index.cells["perturbation"].to_numpy(str)
    found = []
    for control in index.controls:
        cells = np.flatnonzero(label == control)
        if len(cells) > MAX_CELLS:
            cells = np.sort(np.random.default_rng(0).choice(cells, MAX_CELLS, replace=False))
        values = index.cell_values(cells).astype(np.float64)
        values -= values.mean(axis=1, keepdims=True)
        squares, vectors = np.linalg.eigh(values.T @ values)
        kept = min(n, int((squares > 1e-9 * max(squares[-1], 1e-300)).sum()))
        leading = vectors[:, ::-1][:, :kept] / np.sqrt(squares[::-1][:kept])
        found.append((values @ leading).T)
    fewest = min(map(len, found))
    return np.stack([own[:fewest] for own in found]).astype(np.float32)
