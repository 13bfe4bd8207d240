"""Our Adam and clipping: the numbers of torch's, also when Adam goes on, and nothing of its compiler."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from vccapp.neural.fitting.speed import Adam, clip

pytestmark = pytest.mark.usefixtures("one_thread")


def make_weights() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(*shape)) for shape in ((5, 3), (3,), (2, 2, 2), (4, 4))]


def set_gradients(weights: list[nn.Parameter], step: int) -> None:
    """The last has one from the third step on."""
    torch.manual_seed(step)
    for place, weight in enumerate(weights):
        weight.grad = None if place == 3 and step < 2 else torch.randn_like(weight)


@pytest.mark.slow
@pytest.mark.parametrize("decoupled", [False, True])
def test_it_is_torch_s(decoupled: bool) -> None:
    own, oracle = make_weights(), make_weights()
    optimiser = Adam(own, weight_decay=0.1, decoupled=decoupled)
    groups = [{"params": [oracle[place] for place in (0, 2, 3)]}, {"params": [oracle[1]], "weight_decay": 0.0}]
    reference = (torch.optim.AdamW if decoupled else torch.optim.Adam)(groups, weight_decay=0.1, fused=True)
    for step in range(6):
        if step == 4:
            resumed = Adam(own, weight_decay=0.1, decoupled=decoupled)
            resumed.restore(optimiser.state)
            optimiser = resumed
        set_gradients(own, step)
        set_gradients(oracle, step)
        for group in reference.param_groups:
            group["lr"] = 0.01 * (step + 1)
        optimiser.step(0.01 * (step + 1))
        reference.step()
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(own, oracle, strict=True)), step
    optimiser.zero_grad()
    assert all(weight.grad is None for weight in own)


@pytest.mark.slow
def test_it_leaves_the_compiler_alone() -> None:
    code = """
import sys, torch
from vccapp.neural.fitting.speed import Adam
weight = torch.nn.Parameter(torch.ones(2, 2))
weight.sum().backward()
Adam([weight]).step(0.1)
print("torch._dynamo" in sys.modules, weight.max().item() < 1)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("share", [0.5, 1 - 1e-9, 1.0, 1 + 1e-7, 1 + 1e-3, 5.0])
def test_gradients_are_clipped_as_torch_clips_them(share: float) -> None:
    own, oracle = make_weights(), make_weights()
    for weights in (own, oracle):
        set_gradients(weights, 0)
    limit = float(nn.utils.get_total_norm([weight.grad for weight in oracle[:3]])) * share
    nn.utils.clip_grad_norm_(oracle, limit)
    clip(own, limit)
    for mine, theirs in zip(own[:3], oracle[:3], strict=True):
        assert torch.equal(mine.grad, theirs.grad)
    assert own[3].grad is None
