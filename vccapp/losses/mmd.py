"""Maximum mean discrepancy: between sets of cells, by a mixture of Gaussian kernels, without bias.

Gretton et al. (2012), eq. 3. Five widths around the median squared distance between the real cells of a set, as is
common.
"""

import torch
from torch import Tensor

from vccapp.losses.base import LOSSES, Context, of_sets
from vccapp.losses.energy import pairwise_distances

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


@LOSSES.register("mmd")
@of_sets
def mmd(predicted: Tensor, target: Tensor, context: Context | None = None) -> Tensor:
    """Squared discrepancy, mean over the sets (B, n, G) and (B, m, G) and over the widths."""
    n, m = predicted.shape[1], target.shape[1]
    squared = pairwise_distances(predicted, target).square()
    apart = ~torch.eye(n + m, dtype=torch.bool, device=squared.device)
    median = squared[:, n:, n:][:, apart[n:, n:]].median(1).values.clamp_min(1e-30)[:, None, None]
    kernel = torch.stack([torch.exp(-squared / (scale * median)) for scale in SCALES]).mean(0) * apart
    between = kernel[:, :n, n:].mean((1, 2))
    within = kernel[:, :n, :n].sum((1, 2)) / (n * (n - 1)) + kernel[:, n:, n:].sum((1, 2)) / (m * (m - 1))
    return (within - 2 * between).mean()
