"""Layers of networks, found by their place."""

from torch import nn


def linear(layers: nn.Sequential, place: int) -> nn.Linear:
    """The linear layer at a place of a stack."""
    layer = layers[place]
    if not isinstance(layer, nn.Linear):
        msg = f"the layer at {place} is a {type(layer).__name__}"
        raise TypeError(msg)
    return layer
