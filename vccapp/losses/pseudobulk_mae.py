"""Error of pseudobulks: the mean of the predicted cells against that of all real cells of the label.

The mean absolute error, smooth at zero (Huber's loss over its width), and weighted by how well each gene's mean is
known: 1 / (error + floor), with a mean weight of 1 a label.
"""

from torch import Tensor
from torch.nn import functional

from vccapp.losses.base import LOSSES, Context

BETA = 0.02
"""log1p units below which the loss is quadratic."""


@LOSSES.register("pseudobulk_mae")
def pseudobulk_mae(predicted: Tensor, target: Tensor, context: Context, *, weighted: bool = True) -> Tensor:
    """Mean over genes and sets."""
    tables, label = context.tables, context.label
    loss = functional.smooth_l1_loss(predicted.mean(1), tables.means[label], beta=BETA, reduction="none")
    if weighted:
        error = tables.error[label]
        weight = 1 / (error + error.median(1, keepdim=True).values)
        loss = loss * weight / weight.mean(1, keepdim=True)
    return loss.mean()
