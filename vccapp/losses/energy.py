"""Energy distance: between a predicted and a real set of cells, over all genes.

    L = mean |yhat_i - y_j| - 1/2 mean |yhat_i - yhat_i'| - 1/2 mean |y_j - y_j'|          Szekely & Rizzo (2013)

Here the means within a set leave out i = i' (U-statistic): its expectation is 0 for equal distributions. With
`v_statistic` they are kept, which is geomloss's loss and that of STATE: its value is then mostly bias (88 % for 128
cells and 18,080 genes), and its optimum less spread than the real cells.
"""

import torch
from torch import Tensor

from vccapp.losses.base import LOSSES, Context, of_sets

SMOOTHING = 1e-3
"""Of the median distance: d = sqrt(d2 + eps^2), which has a gradient where two cells are equal."""
GEOMLOSS_FLOOR = 1e-8
"""Of squared distances, as geomloss clamps them."""


@LOSSES.register("energy")
@of_sets
def energy(predicted: Tensor, target: Tensor, context: Context | None = None, *, v_statistic: bool = False) -> Tensor:
    """Mean over the sets; the sets (B, n, G) and (B, m, G) may differ in size, each with at least two cells."""
    predicted, target = _centre(predicted, target)
    between = _squared_distances(predicted, target)
    # Of the target's own distances there is no gradient: made apart, they cost a third less than all in one product.
    within = [_squared_distances(predicted, predicted)]
    with torch.no_grad():
        within.append(_squared_distances(target, target))
    if v_statistic:
        between, *spread = (squared.clamp_min(GEOMLOSS_FLOOR).sqrt().mean((1, 2)) for squared in (between, *within))
    else:
        floor = _floor(between)
        spread = [_mean_apart(squared, floor) for squared in within]
        between = _smooth_root(between, floor).mean((1, 2))
    return (between - sum(spread) / 2).mean()


def pairwise_distances(predicted: Tensor, target: Tensor) -> Tensor:
    """(B, n + m, n + m) Euclidean distances among all cells of a set, smooth, zero on the diagonal."""
    joined = torch.cat(_centre(predicted, target), dim=1)
    squared = _squared_distances(joined, joined)
    return _without_diagonal(squared, _floor(squared))


def _centre(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both less the target's mean: in float32 the product of matrices is then as good as differences."""
    precise = predicted.dtype == torch.float64
    predicted, target = (predicted, target) if precise else (predicted.float(), target.float())
    mean = target.mean(1, keepdim=True).detach()
    return predicted - mean, target - mean


def _squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """(B, n, m), some a rounding error below zero."""
    lengths = first.square().sum(-1)[:, :, None] + second.square().sum(-1)[:, None, :]
    return torch.baddbmm(lengths, first, second.transpose(1, 2), alpha=-2)


def _floor(squared: Tensor) -> Tensor:
    """(B, 1, 1)"""
    return (SMOOTHING**2 * squared.detach().flatten(1).median(1).values).clamp_min(1e-30)[:, None, None]


def _smooth_root(squared: Tensor, floor: Tensor) -> Tensor:
    return (squared.clamp_min(0) + floor).sqrt()


def _without_diagonal(squared: Tensor, floor: Tensor) -> Tensor:
    """Distances (B, n, n), zero on the diagonal. The root of zero has no gradient, so it is made 1 before it."""
    diagonal = torch.eye(squared.shape[1], dtype=torch.bool, device=squared.device)
    return _smooth_root(squared.masked_fill(diagonal, 1.0), floor).masked_fill(diagonal, 0.0)


def _mean_apart(squared: Tensor, floor: Tensor) -> Tensor:
    """(B,) mean distance of two different cells."""
    n = squared.shape[1]
    return _without_diagonal(squared, floor).sum((1, 2)) / (n * (n - 1))
