"""Rank among effects: is a predicted effect nearest to its own perturbation? The discrimination score as a loss.

Effects are deltas against the controls, without the perturbation's own targets; the true ones of all training
perturbations are the bank, without gradient. Distance: 1 - cosine with a floor under the lengths, so that a
perturbation without an effect gives no random gradient; or the mean absolute difference.

triplet   mean over the HARD nearest wrong ones q of max(0, d(p) - d(q) + MARGIN * d(true p, true q))
infonce   -log softmax_q(-d(q) / TEMPERATURE) at the true one: smooth and bounded (van den Oord et al., 2018)

The margin is relative, so that perturbations with nearly the same effect are not pushed apart. Each perturbation
weighs as its effect is reliable.
"""

from typing import Literal

import torch
from torch import Tensor

from vccapp.losses.base import LOSSES, Context

HARD = 8
MARGIN = 0.5
TEMPERATURE = 0.1


@LOSSES.register("rank")
def rank(
    predicted: Tensor,
    target: Tensor,
    context: Context,
    *,
    kind: Literal["infonce", "triplet"] = "infonce",
    distance: Literal["cosine", "l1"] = "cosine",
) -> Tensor:
    """Weighted mean over the perturbed sets; 0 where there is none, or the bank has fewer than two perturbations."""
    tables = context.tables
    chosen = context.perturbed().nonzero()[:, 0]
    first = tables.n_controls
    if len(tables.deltas) < first + 2 or not len(chosen):
        return predicted.sum() * 0
    label = context.label[chosen]
    tested = tables.tested[label]
    found = (predicted[chosen].mean(1) - context.control_mean()[chosen]) * tested
    bank = tables.deltas[first:]
    distances = _distances(found, bank, tested, distance)
    if first > 1:  # the score compares within a context
        elsewhere = tables.control[label][:, None] != tables.control[first:]
        distances = distances.masked_fill(elsewhere, torch.finfo(distances.dtype).max)
    own = label - first
    weight = tables.reliability[label]
    of_step = tables.reliability[context.step_label[context.perturbed(context.step_label)]]
    weight = weight / (of_step.sum().clamp_min(1e-12) * context.share)
    apart = _distances(tables.deltas[label] * tested, bank, tested, distance)
    if kind == "infonce":
        temperature = TEMPERATURE * (1.0 if distance == "cosine" else apart.mean(1, keepdim=True))
        return (torch.nn.functional.cross_entropy(-distances / temperature, own, reduction="none") * weight).sum()
    true = distances.gather(1, own[:, None])
    wrong = distances.scatter(1, own[:, None], torch.inf)
    hard = wrong.detach().topk(min(HARD, wrong.shape[1] - 1), largest=False).indices
    gap = true - wrong.gather(1, hard) + MARGIN * apart.gather(1, hard)
    return (gap.clamp_min(0).mean(1) * weight).sum()


def _distances(found: Tensor, bank: Tensor, tested: Tensor, kind: str) -> Tensor:
    """(sets, perturbations); the bank is looked at over the genes that are tested for each set."""
    if kind == "l1":
        return torch.stack([(row - bank * kept).abs().mean(1) for row, kept in zip(found, tested, strict=True)])
    lengths = (bank.square() @ tested.T.to(bank.dtype)).sqrt().T  # (sets, perturbations)
    floor = 0.1 * lengths.median(1, keepdim=True).values
    return 1 - found @ bank.T / ((found.square().sum(1, keepdim=True) + floor**2).sqrt() * (lengths + floor))
