"""What the statistics pages work out from a finished index: small, pure, and quick at full size.

Deltas are pseudobulks minus the controls', log1p units. scipy's clustering is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vccapp.data.schema import control_of, genes_of, is_control, positions_of
from vccapp.stats.halves import correct_spearman_brown, correlate_halves, half_deltas, have_halves
from vccapp.stats.index import Index
from vccapp.stats.pseudobulks import Pseudobulks

BLOCK = 256
"""Perturbations whose halves are in memory at once."""
LOW, HIGH = 0.1, 0.9
"""Quantiles that bound the middle of a group's cells."""
QUADRANTS = ("informative", "housekeeping", "rare signal or noise", "uninformative")


def compute_depth(cells: pd.DataFrame, *, by: str) -> pd.DataFrame:
    """Depth of each group of cells: `by`, n_cells, then low, median and high of umis and of genes (10, 50, 90 %)."""
    groups = cells.groupby(by, observed=True)[["umis", "genes"]]
    quantiles = groups.quantile([LOW, 0.5, HIGH]).unstack()
    names = {LOW: "low", 0.5: "median", HIGH: "high"}
    quantiles.columns = [f"{value}_{names[q]}" for value, q in quantiles.columns]
    quantiles.insert(0, "n_cells", groups.size())
    return quantiles.rename_axis(by).reset_index().astype({by: str})


def count_pairs(cells: pd.DataFrame, *, rows: str = "perturbation", columns: str = "batch") -> pd.DataFrame:
    """Cells of each pair of groups, pairs without a cell too: `rows`, `columns`, n_cells."""
    size = len(cells[columns].cat.categories)
    codes = cells[rows].cat.codes.to_numpy(np.int64) * size + cells[columns].cat.codes.to_numpy()
    counts = np.bincount(codes, minlength=len(cells[rows].cat.categories) * size)
    first, second = cells[rows].cat.categories.astype(str), cells[columns].cat.categories.astype(str)
    return pd.DataFrame({rows: np.repeat(first, size), columns: np.tile(second, len(first)), "n_cells": counts})


@dataclass(frozen=True)
class Imbalance:
    """How unevenly cells fall on groups: share of the largest, largest over smallest, Gini (0: all equal)."""

    largest: str
    share: float
    ratio: float
    gini: float


def compute_imbalance(labels: Sequence[str], n_cells: np.ndarray) -> Imbalance:
    """Of groups with these numbers of cells, none of them zero."""
    ranked = np.sort(np.asarray(n_cells, float))
    n, total = len(ranked), ranked.sum()
    gini = 2 * (np.arange(1, n + 1) * ranked).sum() / (n * total) - (n + 1) / n
    top = int(np.argmax(n_cells))
    return Imbalance(labels[top], ranked[-1] / total, ranked[-1] / ranked[0], max(float(gini), 0.0))


def name_quadrants(genes: pd.DataFrame) -> tuple[pd.DataFrame, tuple[float, float]]:
    """Genes by mean and dispersion, each cut at its median: gene, means, dispersions, highly_variable, quadrant; cuts.

    Genes without variance have no dispersion and are left out. informative: much and varied; housekeeping: much and
    even; rare signal or noise: little and varied; uninformative: little and even.
    """
    known = genes.loc[genes["dispersions"].notna(), ["gene", "means", "dispersions", "highly_variable"]]
    cuts = (float(known["means"].median()), float(known["dispersions"].median())) if len(known) else (0.0, 0.0)
    much, varied = known["means"] >= cuts[0], known["dispersions"] >= cuts[1]
    quadrant = np.select([much & varied, much, varied], QUADRANTS[:3], QUADRANTS[3])
    return known.assign(quadrant=quadrant), cuts


def measure_guides(index: Index, cells: pd.DataFrame) -> pd.DataFrame:
    """Knock-down by guide: perturbation, guide, n_cells, knockdown (share of the control's expression that is left).

    As `knockdown` of the perturbations: expm1 of mean log1p, over two targets their mean. Guides of controls and
    perturbations of which no target is measured in the controls are left out.
    """
    pairs = cells[["perturbation", "guide"]].value_counts().reset_index().astype({"perturbation": str, "guide": str})
    pairs = pairs[~pairs["perturbation"].map(is_control)].drop_duplicates("guide")
    controls = {label: np.expm1(index.mean(label)) for label in index.controls}
    means = index.array("guide_mean")
    row = positions_of(index.guides["guide"])
    found = []
    for label, guide, n_cells in pairs.itertuples(index=False):
        control = controls[control_of(label)]
        targets = [index.gene_position[gene] for gene in genes_of(label) if gene in index.gene_position]
        targets = [gene for gene in targets if control[gene] > 0]
        if targets:
            left = np.expm1(means[row[guide], targets]) / control[targets]
            found.append((label, guide, n_cells, float(left.mean())))
    frame = pd.DataFrame(found, columns=["perturbation", "guide", "n_cells", "knockdown"])
    return frame.sort_values(["perturbation", "guide"], ignore_index=True)


def correlate(deltas: np.ndarray) -> np.ndarray:
    """Pearson correlation of each pair of rows, float32; zero for a row without variance."""
    centred = np.asarray(deltas, np.float32) - deltas.mean(axis=1, keepdims=True, dtype=np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    scaled = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return np.clip(scaled @ scaled.T, -1, 1)


def order_alike(correlation: np.ndarray) -> np.ndarray:
    """An order of the rows in which those alike are neighbours: average linkage of 1 - correlation, leaves ordered."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(correlation) < 3:
        return np.arange(len(correlation))
    distance = np.clip(1 - (correlation + correlation.T) / 2, 0, 2).astype(float)
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))


def project(deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components of the rows: (n, 2) scores, and the share of variance of each.

    The sign is such that the largest score of a component is positive.
    """
    centred = np.asarray(deltas, float) - deltas.mean(axis=0, dtype=float)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = np.clip(values[::-1][:2], 0, None), vectors[:, ::-1][:, :2]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    scores, total = vectors * np.sqrt(values), (centred**2).sum()
    room = 2 - scores.shape[1]
    return np.pad(scores, ((0, 0), (0, room))), np.pad(values / total if total else values, (0, room))


def variable_genes(index: Pseudobulks) -> np.ndarray:
    """Positions of the highly variable genes; of all where none is known to be."""
    flags = index.genes["highly_variable"].to_numpy(bool)
    return np.flatnonzero(flags) if flags.any() else np.arange(len(flags))


def measure_reliability(index: Pseudobulks, genes: np.ndarray, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Split-half reliability: perturbation, n_cells, effect, half_correlation, reliability, perfect, reason.

    half_correlation r is that of the two halves' deltas over `genes`; reliability is 2r / (1 + r), what a second
    experiment would reach (Spearman-Brown), 0 where r is negative; perfect its square root, what the true effects
    would. All are NaN for `reason`, where there is one. labels : all perturbations, where none are given
    """
    labels = index.perturbed if labels is None else list(labels)
    blocks = [labels[start : start + BLOCK] for start in range(0, len(labels), BLOCK)]
    r = np.concatenate([np.zeros(0), *(correlate_halves(*half_deltas(index, block, genes)) for block in blocks)])
    frame = index.perturbations[["perturbation", "n_cells", "effect"]].iloc[index.rows(labels)].reset_index(drop=True)
    n_cells = index.perturbations["n_cells"].to_numpy()
    alone = n_cells[index.control_rows(labels)] < 2
    why = np.where(alone, "one control cell", "one cell")
    reason = np.where(have_halves(index, labels), "", why)
    reliability = correct_spearman_brown(r)
    return frame.assign(half_correlation=r, reliability=reliability, perfect=np.sqrt(reliability), reason=reason)


@dataclass(frozen=True)
class Similarity:
    """How alike the perturbations of an index are.

    labels and correlation : alike ones next to each other; (n, n)
    scores : perturbation (the control too), x, y, effect; shares : of the variance on x and y
    reliability : as `measure_reliability` gives
    """

    labels: list[str]
    correlation: np.ndarray
    scores: pd.DataFrame
    shares: tuple[float, float]
    reliability: pd.DataFrame

    def pairs(self) -> pd.DataFrame:
        """The correlation of each pair of perturbations: first, second, r."""
        first, second = np.triu_indices(len(self.labels), 1)
        names = np.array(self.labels)
        return pd.DataFrame({"first": names[first], "second": names[second], "r": self.correlation[first, second]})

    def neighbours(self, label: str) -> pd.DataFrame:
        """perturbation and r of all others with `label`, the most alike first."""
        own = self.labels.index(label)
        frame = pd.DataFrame({"perturbation": self.labels, "r": self.correlation[own].astype(float)})
        return frame.drop(index=own).sort_values("r", ascending=False, kind="stable", ignore_index=True)


def compute_similarity(index: Index, *, variable_only: bool = True) -> Similarity:
    """Over the highly variable genes, or over all."""
    genes = variable_genes(index) if variable_only else np.arange(len(index.genes))
    means = index.array("mean")[:, genes]
    deltas = means - means[index.control_rows(index.labels)]
    correlation = correlate(deltas[len(index.controls) :])
    order = order_alike(correlation)
    scores, shares = project(deltas)
    frame = pd.DataFrame({"perturbation": index.labels, "x": scores[:, 0], "y": scores[:, 1]})
    return Similarity(
        labels=[index.perturbed[i] for i in order],
        correlation=correlation[np.ix_(order, order)],
        scores=frame.assign(effect=index.perturbations["effect"].to_numpy()),
        shares=(float(shares[0]), float(shares[1])),
        reliability=measure_reliability(index, genes),
    )
