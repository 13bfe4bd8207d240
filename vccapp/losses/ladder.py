"""Losses put together: the ladder from a distance of distributions to one that also ranks.

terms = combine({"energy": 1.0, "pseudobulk_mae": 1.0}, predicted, target, context)
terms["loss"].backward()            # and terms["energy"], ... to be logged, without their weights
"""

from collections.abc import Mapping

from torch import Tensor

from vccapp.losses.base import LOSSES, Context, Loss

LADDER: dict[str, dict[str, float]] = {
    "C1": {"energy": 1.0},
    "C2": {"energy": 1.0, "pseudobulk_mae": 1.0},
    "C3": {"energy": 1.0, "pseudobulk_mae": 1.0, "de": 0.5},
    "C4": {"energy": 1.0, "pseudobulk_mae": 1.0, "de": 0.5, "rank": 0.5},
}
"""Each step adds one term."""


def combine(
    weights: Mapping[str, float],
    predicted: Tensor,
    target: Tensor,
    context: Context,
    *,
    instead: Mapping[str, Loss] | None = None,
) -> dict[str, Tensor]:
    """Every term with a weight above zero, and their weighted sum as "loss".

    instead : losses to take for a name in place of the registered one, e.g. one with other options
    """
    chosen = {name: weight for name, weight in weights.items() if weight > 0}
    terms = {name: (instead or {}).get(name, LOSSES[name])(predicted, target, context) for name in chosen}
    return {"loss": sum(weight * terms[name] for name, weight in chosen.items())} | terms
