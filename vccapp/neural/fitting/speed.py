"""Adam (Kingma & Ba, 2015) and AdamW (Loshchilov & Hutter, 2019) on torch's fused kernels.

The same numbers as torch.optim's classes (tests/test_neural_adam.py), without what making one of those brings in:
torch's compiler, a second and 70 MB of every training.
"""

import contextlib
import ctypes
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

BETAS = (0.9, 0.999)
EPS = 1e-8
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""


class Adam:
    """decoupled : weight decay as AdamW's. It is for matrices only; biases and norms are left alone."""

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


def keep_freed_memory() -> None:
    """Let glibc keep blocks of up to 32 MB that are freed: else each gradient is new pages, a tenth of a step."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
