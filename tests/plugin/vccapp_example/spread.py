"""Spread: does each gene vary among the predicted cells as it does among the real ones?"""

from torch import Tensor

from vccapp.losses.base import LOSSES, Context, of_sets


@LOSSES.register("spread")
@of_sets
def spread(predicted: Tensor, target: Tensor, context: Context) -> Tensor:
    """Mean squared difference of the variances, over sets (B, n, G), (B, m, G) and genes."""
    return (predicted.var(1) - target.var(1)).square().mean()
