"""Direction: does the prediction leave the control on the right side?

Scouter's second term. The original compares signs, cell by cell with the paired control: (sign(y - x) - sign(yhat -
x))^2. That has no gradient anywhere, so it changes what is reported and nothing that is learnt; `sign_loss` is for
comparisons with it.
Ours: (tanh((mean yhat - mean x) / width) - sign(delta))^2, of each perturbation's mean prediction in the step against
the mean control, over genes whose real delta is larger than its standard error, `width` being twice that error.
"""

import torch
from torch import Tensor

from vccapp.losses.autofocus import cell_weights
from vccapp.losses.base import LOSSES, Context


@LOSSES.register("direction")
def direction(predicted: Tensor, target: Tensor, context: Context) -> Tensor:
    """Mean over clear genes and perturbations, 0 .. 4; 0 where none is clear."""
    tables = context.tables
    label, n_sets = context.step_label.unique(return_counts=True)
    at = torch.searchsorted(label, context.label)
    total = predicted.new_zeros(len(label), predicted.shape[2]).index_add(0, at, predicted.mean(1))
    found = context.sum_over_processes(total) / n_sets[:, None] - context.control_mean(label)
    delta, error = tables.deltas[label], tables.error[label]
    perturbed = context.perturbed(label)
    clear = (delta.abs() > error) & perturbed[:, None]
    wrong = (torch.tanh(found / (2 * error)) - delta.sign()).square() * clear
    return (wrong.sum(1) / clear.sum(1).clamp_min(1)).sum() / perturbed.sum().clamp_min(1)


@torch.no_grad()
def sign_loss(predicted: Tensor, target: Tensor, context: Context) -> Tensor:
    """The original's term, over expressed genes; it carries no gradient there either."""
    controls = context.controls
    if controls is None:
        msg = "the sign loss compares cells with the control cells that they started from"
        raise ValueError(msg)
    wrong = torch.sign(target - controls) - torch.sign(predicted - controls)
    wrong = wrong.square() * context.tables.expressed[context.label][:, None]
    return (wrong.sum((1, 2)) * cell_weights(context)).sum() / predicted.shape[1]
