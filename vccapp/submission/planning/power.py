"""How likely a scorer's rank test finds a gene that falls to half, by the number of cells: before a cell exists.

The values that the test ranks are control cells of the data (counts over the cell's depth) against the same cells with
each count kept with probability one half, which is what half the expression does to counts. With theta = P(X < Y) +
P(X = Y) / 2 for a control X and a perturbed Y, the test's statistic is normal with mean theta - 1/2; its variance is
that of placements (DeLong et al. 1988) under the change and that of ranks with ties without it, which p is taken from:

    power = Phi((|theta - 1/2| - z sigma_0) / sigma_1)

It is the mean over GENES genes that are expressed. P is what an FDR of 0.05 asks where some 2 % of the genes change.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from vccapp.data.schema import is_control, label_in
from vccapp.stats.index import Index
from vccapp.submission.plan import Plan

P = 1e-3
KEPT = 0.5
"""Share of the expression that is left."""
MAX_DEPTH = 1 / KEPT
GENES, CELLS = 120, 2_000
EXPRESSED = 5.0
"""Counts of a gene in a million of a cell, from which the scorer of 2026 takes it."""


def sample_controls(index: Index, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray] | None:
    """(genes, cells) counts of control cells in expressed genes, and (cells,) depths; None of data without counts."""
    if index.meta["value_space"] != "counts":
        return None
    rng = np.random.default_rng(seed)
    per_million = np.expm1(index.control_mean) / index.meta["target_sums"][0] * 1e6
    expressed = np.flatnonzero(per_million > EXPRESSED)
    rows = np.flatnonzero(index.cells["perturbation"].isin(index.controls).to_numpy())
    if not len(expressed) or len(rows) < 2:
        return None
    ranked = expressed[np.argsort(per_million[expressed], kind="stable")]
    genes = ranked[np.unique(np.linspace(0, len(ranked) - 1, GENES).astype(int))]
    rows = np.sort(rng.permutation(rows)[:CELLS])
    depths = np.asarray(index.array("scaling"))[rows].astype(np.float64)
    names = index.genes["gene"]
    counts = np.stack([np.rint(np.expm1(index.gene_values(names[gene])[rows]) * depths) for gene in genes])
    return counts, depths


def compute_power(
    counts: np.ndarray,
    depths: np.ndarray,
    n_cells: Sequence[int],
    *,
    n_controls: int,
    depth: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """(len(n_cells),) mean power over the genes.

    counts, depths : of `sample_controls`; depth : of the perturbed cells over that of the controls, at most MAX_DEPTH
    """
    rng, n = np.random.default_rng(seed), np.asarray(n_cells, np.float64)
    power = [
        _power(gene / depths, rng.binomial(gene, KEPT * depth) / (depths * depth), n, float(n_controls))
        for gene in counts.astype(np.int64)
    ]
    return np.mean(power, axis=0)


def plan_power(plan: Plan, open_index: Callable[[str], Index]) -> dict[str, float]:
    """Power by label; without those whose controls hold no counts.

    Cells of counts have the depth that the plan gives them, all others that of the controls. Where a submission has no
    controls, the scorer tests against those of the data.
    """
    power: dict[str, float] = {}
    for part in plan.parts:
        index = open_index(part.source.dataset).within(part.source.context)
        if (sampled := sample_controls(index, seed=plan.seed)) is None:
            continue
        typical = float(index.meta["target_sums"][0])
        n_controls = plan.n_controls or int(index.perturbations["n_cells"].iloc[0])
        groups: dict[float, list[str]] = {}
        for target in part.cells:
            if not is_control(target):
                label = label_in(target, part.context)
                ratio = plan.depths.get(label, typical) / typical if plan.space == "counts" else 1.0
                groups.setdefault(round(min(max(ratio, 0.1), MAX_DEPTH), 1), []).append(label)
        for depth, labels in groups.items():
            n_cells = [plan.cells[label] for label in labels]
            found = compute_power(*sampled, n_cells, n_controls=n_controls, depth=depth)
            power |= dict(zip(labels, found.tolist(), strict=True))
    return {label: power[label] for label in plan.cells if label in power}


def _power(before: np.ndarray, after: np.ndarray, n: np.ndarray, m: float) -> np.ndarray:
    """Of n cells such as `after` against m such as `before`."""
    above, below = _placements(before, after), _placements(after, before)
    sigma_1 = np.sqrt(above.var() / n + below.var() / m)
    _, group = np.unique(np.concatenate([before, after]), return_inverse=True)
    shares = [np.bincount(own, minlength=group.max() + 1) / len(own) for own in np.split(group, [len(before)])]
    both = m + n
    ties = ((m * shares[0] + np.outer(n, shares[1])) ** 3).sum(axis=1) - both
    sigma_0 = np.sqrt(np.maximum(both + 1 - ties / (both * (both - 1)), 0) / (12 * m * n))
    shift = abs(above.mean() - 0.5) - float(-ndtri(P / 2)) * sigma_0
    spread = np.maximum(sigma_1, 1e-12)
    return np.where(sigma_1 > 0, ndtr(shift / spread), shift > 0)


def _placements(of: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Of each value of `among`, the share of `of` below it, ties half."""
    ranked = np.sort(of)
    return (np.searchsorted(ranked, among, "left") + np.searchsorted(ranked, among, "right")) / (2 * len(of))
