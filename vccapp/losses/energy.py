"""Energy distance between a predicted and a real set of cells, over all genes.

    L = mean |yhat_i - y_j| - 1/2 mean |yhat_i - yhat_i'| - 1/2 mean |y_j - y_j'|          Szekely & Rizzo (2013)

Here the means within a set leave out i = i' (U-statistic): its expectation is 0 for equal distributions. With
`v_statistic` they are kept, which is geomloss's loss and that of STATE: its value is then mostly bias (88 % for 128
cells and 18,080 genes), and its optimum less spread than the real cells.
"""

import torch
from torch import Tensor

from vccapp.losses.base import LOSSES, Context

SMOOTHING = 1e-3
"""Of the median distance: d = sqrt(d2 + eps^2), which has a gradient where two cells are equal."""
GEOMLOSS_FLOOR = 1e-8
"""Of squared distances, as geomloss clamps them."""


@LOSSES.register("energy")
def energy(predicted: Tensor, target: Tensor, context: Context | None = None, *, v_statistic: bool = False) -> Tensor:
    """Mean over the sets; the sets (B, n, G) and (B, m, G) may differ in size, each with at least two cells."""
    n, m = predicted.shape[1], target.shape[1]
    distance = pairwise_distances(predicted, target, smooth=not v_statistic)
    within_predicted, within_target = distance[:, :n, :n].sum((1, 2)), distance[:, n:, n:].sum((1, 2))
    lost = (0, 0) if v_statistic else (n, m)
    spread = within_predicted / (n * n - lost[0]) + within_target / (m * m - lost[1])
    return (distance[:, :n, n:].mean((1, 2)) - spread / 2).mean()


def pairwise_distances(predicted: Tensor, target: Tensor, *, smooth: bool) -> Tensor:
    """(B, n + m, n + m) Euclidean distances among all cells of a set, zero on the diagonal where `smooth`.

    From one product of matrices, centred on the target's mean first: in float32 that is as good as differences.
    """
    joined = torch.cat([predicted, target], dim=1)
    joined = joined if joined.dtype == torch.float64 else joined.float()
    joined = joined - joined[:, predicted.shape[1] :].mean(1, keepdim=True).detach()
    length = joined.square().sum(-1)
    squared = length[:, :, None] + length[:, None, :] - 2 * joined @ joined.transpose(1, 2)
    if not smooth:
        return squared.clamp_min(GEOMLOSS_FLOOR).sqrt()
    diagonal = torch.eye(squared.shape[1], dtype=torch.bool, device=squared.device)
    # The root of zero has no gradient, so what the mask removes is made 1 before it.
    squared = squared.clamp_min(0).masked_fill(diagonal, 1.0)
    floor = (SMOOTHING**2 * squared.detach().median()).clamp_min(1e-30)
    return (squared + floor).sqrt().masked_fill(diagonal, 0.0)
