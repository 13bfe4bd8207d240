"""Several processes that train one network: each takes its share of every step, and all hold the same weights.

    join_processes(rank, ranks, device, meeting=path)      # once in each process, before anything below
    forward = share_gradients(network)                     # a backward pass through it averages the gradients
    terms = average_terms(terms)

The result is that of one process up to the order of sums, and up to dropout, which each process draws for its own
cells. Batch norms take their mean and variance over the cells of all processes.

Whatever the processes add up is float32, gradients too: gloo has no sums in bfloat16, and a sum of cells would lose its
last ones there. What is left at products in bfloat16 is that each process rounds the gradient of its own cells to it.
"""

from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from vccapp.losses.base import SumOverProcesses

PATIENCE = timedelta(minutes=30)
"""For a process that others wait for: validations and checkpoints of the first take minutes at most."""


def join_processes(rank: int, ranks: int, device: torch.device, *, meeting: Path) -> None:
    """meeting : a new file that all of them name. NCCL on GPUs, gloo on CPUs."""
    kind = "nccl" if device.type == "cuda" else "gloo"
    if kind == "nccl":
        torch.cuda.set_device(device)
    distributed.init_process_group(kind, init_method=meeting.as_uri(), rank=rank, world_size=ranks, timeout=PATIENCE)


def share_gradients(network: nn.Module) -> DistributedDataParallel:
    """`network` with the weights that the first process has; its batch norms are changed in place."""
    for layer in network.modules():
        if type(layer) is nn.BatchNorm1d:
            layer.__class__ = SharedBatchNorm
    return DistributedDataParallel(network)


def average_terms(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean of each over the processes, without gradients."""
    means = torch.stack([term.detach().float() for term in terms.values()])
    distributed.all_reduce(means)
    return dict(zip(terms, means / distributed.get_world_size(), strict=True))


def take_from_first(number: int, *, like: Tensor) -> int:
    """What the first process has, waiting for it; like : any tensor on the device."""
    sent = torch.tensor([number], device=like.device)
    distributed.broadcast(sent, 0)
    return int(sent)


class SharedBatchNorm(nn.BatchNorm1d):
    """In training the mean and variance of the cells (n, width) of all processes, which may have other n.

    As torch's SyncBatchNorm, which works on GPUs alone; like torch's norms it computes in float32 and returns what it
    was given, bfloat16 under autocast.
    """

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor
    momentum: float

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return super().forward(values)
        exact = values.float()
        sums = SumOverProcesses.apply(torch.cat([exact.sum(0), exact.new_tensor([len(exact)])]))
        n, centred = sums[-1], exact - sums[:-1] / sums[-1]
        variance = SumOverProcesses.apply(centred.square().sum(0)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(sums[:-1] / n, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        return (centred * (variance + self.eps).rsqrt() * self.weight + self.bias).to(values.dtype)
