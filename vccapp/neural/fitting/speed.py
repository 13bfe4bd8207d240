"""What is done for speed alone: nothing here changes a number by more than rounding, and each says what it gains.

Measured with torch 2.13 on one core of an AMD EPYC with AVX512-BF16, processor time, 20,000 cells x 2,000 genes: a step
of Scouter takes 56 ms, of ST 300 ms (`xs`) and 1,490 ms (`sm`). What gains less than 3 % of a step or of a training is
left to torch, as is averaging (`AveragedModel`: 0.1 %). Measure again with a new torch, and take out what is not worth
its lines.
"""

import contextlib
import ctypes
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.adam import adam

from vccapp.stats.building.read_ahead import read_ahead

Batch = TypeVar("Batch")

BETAS = (0.9, 0.999)
EPS = 1e-8
SLIGHT = 1e-6
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""


class Adam:
    """Adam (Kingma & Ba, 2015) and AdamW (Loshchilov & Hutter, 2019) on torch's fused kernels.

    The same numbers as torch.optim's classes at the same speed, but making one of those brings in torch's compiler:
    1.0 s and 71 MB of every training, 7 % of a default Scouter on the demo (15 s).

    decoupled : weight decay as AdamW's. It is for matrices only; biases and norms are left alone."""

    def __init__(self, weights: Iterable[nn.Parameter], *, weight_decay: float = 0.0, decoupled: bool = False) -> None:
        self.weights = list(weights)
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.state: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # by place: both moments, steps; from its first step

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the weights that have a gradient."""
        for decays in (True, False):
            chosen = {i: w for i, w in enumerate(self.weights) if w.grad is not None and (w.ndim >= 2) == decays}
            for i in chosen.keys() - self.state.keys():
                weight = chosen[i]
                zeros = torch.zeros_like(weight), torch.zeros_like(weight)
                self.state[i] = (*zeros, torch.zeros((), device=weight.device))
            means, squares, steps = ([self.state[i][k] for i in chosen] for k in range(3))
            adam(
                list(chosen.values()),
                [weight.grad for weight in chosen.values() if weight.grad is not None],
                means,
                squares,
                [],
                steps,
                fused=True,
                decoupled_weight_decay=self.decoupled,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=rate,
                weight_decay=self.weight_decay if decays else 0.0,
                eps=EPS,
                maximize=False,
            )

    def zero_grad(self) -> None:
        for weight in self.weights:
            weight.grad = None

    def restore(self, state: dict[int, tuple[Tensor, Tensor, Tensor]]) -> None:
        """Go on from the `state` of another one over the same weights."""
        for i, (mean, square, steps) in state.items():
            device = self.weights[i].device
            self.state[i] = mean.to(device), square.to(device), steps.to(device)


def cast_once(weights: list[nn.Parameter]) -> AbstractContextManager[Any]:
    """In this block each weight is cast to bfloat16 once, and not once a share. With `clip`, 3 % of a step."""
    return torch.autocast(weights[0].device.type, enabled=False)


def clip(weights: list[nn.Parameter], limit: float) -> None:
    """torch's `clip_grad_norm_`, without its pass over all gradients, times one, where their norm is small enough."""
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    # On a GPU a look at the norm would wait for the step. torch divides by the norm and SLIGHT.
    if norm.device.type != "cpu" or not norm + SLIGHT < limit:
        nn.utils.clip_grads_with_norm_(weights, limit, norm)


def keep_freed_memory() -> None:
    """Let glibc keep blocks of up to 32 MB that are freed, so that a step's gradients are not new pages each time.

    Without it a step of Scouter takes 26 % more, of ST 5 %.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def gather_ahead(next_batch: Callable[[int], Batch], numbers: range) -> Generator[Batch]:
    """The batches of these numbers, each gathered on a thread while the one before it is learnt from.

    Gathering takes as long as 6 % of a step of Scouter, and 8 % (`xs`) or 2 % (`sm`) of one of ST.
    """
    return read_ahead(map(next_batch, numbers))


def attend(query: Tensor, key: Tensor, value: Tensor, *, causal: bool) -> Tensor:
    """Attention without a mask, heads (..., cells, width).

    In bfloat16 on a CPU torch's fused kernel is slow backwards: there its two products are four times as quick. With
    the kernel a step of ST takes 13 to 17 % more.
    """
    if causal or not torch.is_autocast_enabled("cpu") or query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return weights.softmax(dim=-1) @ value
