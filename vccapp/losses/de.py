"""DE genes (cross entropy): which genes are differentially expressed, and which way, read off the predicted effects.

The logit of "up" is (delta / error - THRESHOLD) / WIDTH, that of "down" the same of -delta, with the standard error of
the real delta: where the prediction crosses what a test would find, so that the loss shapes the prediction itself. A
network with a head of its own gives its logits instead. Labels are the index's (FDR < 0.05); a label's own targets are
left out. Per perturbation a mean over its genes, then over perturbations: large effects do not dominate.
"""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from vccapp.losses.base import LOSSES, Context

THRESHOLD, WIDTH = 2.5, 1.0
"""In standard errors."""
MAX_POSITIVE_WEIGHT = 10.0
FOCUS = 2.0
"""Of the focal loss: Lin et al. (2017)."""


@LOSSES.register("de")
def de(
    predicted: Tensor,
    target: Tensor,
    context: Context,
    *,
    kind: Literal["bce", "focal"] = "bce",
    logits: Tensor | None = None,
) -> Tensor:
    """logits : (2, sets, genes) of up and down, where a head gives them. 0 where no set is perturbed."""
    tables, label = context.tables, context.label
    if logits is None:
        score = (predicted.mean(1) - context.control_mean()) / tables.error[label]
        up, down = (score - THRESHOLD) / WIDTH, (-score - THRESHOLD) / WIDTH
    else:
        up, down = logits
    tested = tables.tested[label].float() * context.perturbed()[:, None]
    n_tested = tested.sum(1).clamp_min(1)

    def surprise_of(logit: Tensor, sign: int) -> Tensor:
        truth = (tables.de[label] == sign).float()
        n_positive = (truth * tested).sum(1)
        positive_weight = ((n_tested - n_positive) / n_positive.clamp_min(1)).clamp(1, MAX_POSITIVE_WEIGHT)[:, None]
        weight = 1 + (positive_weight - 1) * truth
        # softplus(-z) is -log sigmoid(z): never the logarithm of a rounded probability.
        surprise = functional.softplus(logit * (1 - 2 * truth))
        if kind == "focal":
            weight = weight * functional.sigmoid(logit * (1 - 2 * truth)) ** FOCUS
        return (weight * surprise * tested).sum(1) / n_tested

    loss = surprise_of(up, 1) + surprise_of(down, -1)
    return loss.sum() / (context.perturbed(context.step_label).sum().clamp_min(1) * context.share)
