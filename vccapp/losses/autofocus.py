"""Autofocus (squared error of cells): |y - yhat|^(2 + gamma), over the genes that the perturbation expresses.

A mean over cells and genes for each perturbation of the step, then over perturbations. The loss of Scouter: Zhu & Li
(2024), after Roohani et al. (2023); as scouter-learn 0.1.10 computes it.
"""

from torch import Tensor

from vccapp.losses.base import LOSSES, Context


@LOSSES.register("autofocus")
def autofocus(predicted: Tensor, target: Tensor, context: Context, *, gamma: float = 0.0) -> Tensor:
    """0 for a gene at its real value."""
    error = (target - predicted) * context.tables.expressed[context.label][:, None]
    error = error.square() if gamma == 0 else error.abs() ** (2 + gamma)
    return (error.sum((1, 2)) * cell_weights(context)).sum() / predicted.shape[1]


def cell_weights(context: Context) -> Tensor:
    """(sets,) weights that make a sum over genes and sets a mean of each perturbation, then over perturbations."""
    label, expressed = context.label, context.tables.expressed
    n_sets = context.step_label.bincount(minlength=len(expressed))
    n_genes = expressed.sum(1)
    return 1 / ((n_sets > 0).sum() * n_sets[label] * n_genes[label].clamp_min(1) * context.share)
