"""What a step of Scouter training is: pairs of cells gathered ahead on a thread, and the loss of them.

task = ScouterTask(sampler, read=matrix.rows, vectors=..., base=..., loss=..., device=...)
run_loop(network, next_batch=task.batch, step_loss=task.step_loss, ...)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vccapp.neural.fitting.device import multiplies_bfloat16
from vccapp.neural.fitting.estimate import Precision
from vccapp.neural.fitting.sampler import Pairs, PairSampler, take_share
from vccapp.neural.scouter.net import ScouterNet

PairLoss = Callable[[Tensor, "PairBatch"], dict[str, Tensor]]
"""Predicted cells (n, genes) and their batch -> the terms; `loss` is minimised."""


@dataclass(frozen=True)
class PairBatch:
    """A step, on the device: cells and controls (n, genes), and the label (n,) of each cell.

    whole : labels of all cells of the step, where processes share it; weight : of the terms in their mean over them
    """

    cells: Tensor
    controls: Tensor
    label: Tensor
    whole: Tensor | None = None
    weight: float = 1.0


class ScouterTask:
    """Batches and losses of one training."""

    def __init__(
        self,
        sampler: PairSampler,
        *,
        read: Callable[[np.ndarray], np.ndarray],
        vectors: np.ndarray,
        base: np.ndarray | None,
        loss: PairLoss,
        device: torch.device,
        precision: Precision = "auto",
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """
        read : rows of cells -> (n, genes) float32
        vectors : (labels, d); base : (labels, genes) what the network adds to, None: nothing
        """
        self.sampler, self.read, self.loss, self.device = sampler, read, loss, device
        self.rank, self.ranks = rank, ranks
        self.vectors = torch.from_numpy(vectors).to(device)
        self.base = None if base is None else torch.from_numpy(base).to(device)
        self.bfloat16 = multiplies_bfloat16(device, precision)

    def batch(self, step: int) -> PairBatch:
        drawn = self.sampler.batch(step)
        own = take_share(drawn, self.rank, self.ranks)
        if self.ranks == 1:
            return self.gather(own)
        weight = len(own.label) * self.ranks / len(drawn.label)
        return replace(self.gather(own), whole=self._labels(drawn), weight=weight)

    def gather(self, pairs: Pairs) -> PairBatch:
        return PairBatch(self._rows(pairs.cells), self._rows(pairs.controls), self._labels(pairs))

    def _labels(self, pairs: Pairs) -> Tensor:
        return torch.from_numpy(pairs.label.astype(np.int64)).to(self.device)

    def _rows(self, rows: np.ndarray) -> Tensor:
        values = torch.from_numpy(self.read(rows))
        return values if self.device.type != "cuda" else values.pin_memory().to(self.device, non_blocking=True)

    def predict(self, network: ScouterNet, batch: PairBatch) -> Tensor:
        """(n, genes) cells. The network's products are in bfloat16 where that is quicker; the losses are in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            cells = network(batch.controls, self.vectors, batch.label).float()
        return cells if self.base is None else cells + self.base[batch.label]

    def step_loss(self, network: ScouterNet, batch: PairBatch) -> dict[str, Tensor]:
        """What this process adds to the terms of its step."""
        terms = self.loss(self.predict(network, batch), batch)
        return {name: batch.weight * term for name, term in terms.items()}
