"""Few-shot adaptation of an ST network: a small part of it is trained on new data, the rest stays as it was.

    choose_trained(network, "lora")         # before run_loop, which trains what requires a gradient
    merge_adapters(network)                 # afterwards: an ordinary StateNet again

background : what says where cells come from: batches, biases of the cell encoder and of the last layer
lora       : that, and a change of low rank to each matrix of attention (Hu et al., 2022), which starts at zero
all        : everything
"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vccapp.neural.layers import linear
from vccapp.neural.state.net import Block, StateNet

Part = Literal["all", "background", "lora"]
RANK, ALPHA = 16, 32
"""As the original's."""


class LowRank(nn.Module):
    """weight + ALPHA / RANK * up @ down."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rank = min(RANK, *weight.shape)
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1], device=weight.device) / weight.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + ALPHA / RANK * self.up @ self.down


def choose_trained(network: StateNet, part: Part) -> None:
    """Let a gradient reach only the weights of `part`; never a gene decoder, which training does not pass."""
    if network.decoder is not None:
        network.decoder.requires_grad_(False)
    if part == "all":
        return
    for weight in network.parameters():
        weight.requires_grad_(False)
    background: list[Tensor] = [layer.bias for layer in network.basal if isinstance(layer, nn.Linear)]
    background += [linear(network.head, -1).bias, *([] if network.batch is None else [network.batch.weight])]
    for bias in background:
        bias.requires_grad_(True)
    if part == "lora":
        for layer in _attention(network):
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight))


def merge_adapters(network: StateNet) -> None:
    """Make the adapters part of the weights, and every weight trainable again."""
    for layer in _attention(network):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    for weight in network.parameters():
        weight.requires_grad_(True)


def replace_batches(network: StateNet, n_batches: int) -> None:
    """New batches, each starting as the mean of those that the network knew; nothing for one without batches."""
    if network.batch is not None:
        mean = network.batch.weight.detach().mean(dim=0)
        network.batch = nn.Embedding.from_pretrained(mean.repeat(n_batches, 1), freeze=False)
        network.shape = replace(network.shape, n_batches=n_batches)


def _attention(network: StateNet) -> list[nn.Linear]:
    blocks = [block for block in network.blocks if isinstance(block, Block)]
    return [layer for block in blocks for layer in (block.query_key_value, block.attended)]
