"""What a step of ST training is: sets of cells and controls, gathered ahead on a thread, and the loss of them.

task = SetTask(sampler, inputs=matrix.rows, outputs=matrix.rows, features=..., shifts=..., loss=..., device=...)
run_loop(network, next_batch=task.batch, step_loss=task.step_loss, ...)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vccapp.neural.fitting.device import multiplies_bfloat16
from vccapp.neural.fitting.estimate import Precision
from vccapp.neural.fitting.sampler import SetSampler, take_share
from vccapp.neural.state.net import StateNet
from vccapp.neural.state.shape import sets_at_once

Rows = Callable[[np.ndarray], np.ndarray]
"""Cells by row number: (n,) -> (n, values) float32."""
SetLoss = Callable[[Tensor, "SetBatch"], dict[str, Tensor]]
"""Predicted cells (sets, cells, genes) and their batch -> the terms; `loss` is minimised."""


@dataclass(frozen=True)
class SetBatch:
    """A share of a step, on the device."""

    controls: Tensor  # (sets, cells, n_inputs)
    values: Tensor  # (sets, cells, n_outputs), the same controls in output space; `controls` where it is the same
    cells: Tensor  # (sets, cells, n_outputs)
    features: Tensor  # (sets, n_features)
    shift: Tensor | None  # (sets, n_outputs)
    batches: Tensor  # (sets, cells) int64, those of the cells to predict
    label: Tensor  # (sets,) int64 positions among the sampler's labels
    whole: Tensor  # labels of all sets of the step
    weight: float  # of the terms in their sum over a process's shares, then the mean over the processes


class SetTask:
    """Batches and losses of one training."""

    def __init__(
        self,
        sampler: SetSampler,
        *,
        inputs: Rows,
        outputs: Rows,
        features: np.ndarray,
        shifts: np.ndarray | None,
        loss: SetLoss,
        n_genes: int,
        device: torch.device,
        precision: Precision = "auto",
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """features : (labels, n_features), shifts : (labels, n_outputs) deltas or None, of the sampler's labels

        n_genes : that the network predicts
        """
        self.sampler, self.inputs, self.outputs, self.loss, self.device = sampler, inputs, outputs, loss, device
        self._draw = lru_cache(1)(sampler.batch)  # for all shares of a step
        self.rank, self.ranks, self.shares = rank, ranks, 1
        if device.type == "cpu":
            self.shares = max(1, -(-(sampler.n_sets // ranks) // sets_at_once(sampler.set_size, n_genes)))
        self.bfloat16 = multiplies_bfloat16(device, precision)
        self.features = torch.from_numpy(features).to(device)
        self.shifts = None if shifts is None else torch.from_numpy(shifts).to(device)

    def batch(self, number: int) -> SetBatch:
        """This process's share of a step, in `shares` batches."""
        step, share = divmod(number, self.shares)
        drawn = self._draw(step)
        sets = take_share(drawn, self.rank + self.ranks * share, self.ranks * self.shares)
        controls = self._gather(self.inputs, sets.controls)
        same = self.inputs == self.outputs
        label = self._to_device(sets.label)
        return SetBatch(
            controls=controls,
            values=controls if same else self._gather(self.outputs, sets.controls),
            cells=self._gather(self.outputs, sets.cells),
            features=self.features[label],
            shift=None if self.shifts is None else self.shifts[label],
            batches=self._to_device(self.sampler.cells.batch[sets.cells]),
            label=label,
            whole=self._to_device(drawn.label),
            weight=len(sets.label) * self.ranks / len(drawn.label),
        )

    def _gather(self, read: Rows, rows: np.ndarray) -> Tensor:
        values = torch.from_numpy(read(rows.ravel())).view(*rows.shape, -1)
        if self.device.type != "cuda":
            return values
        return values.pin_memory().to(self.device, non_blocking=True)

    def _to_device(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64)).to(self.device)

    def step_loss(self, network: StateNet, batch: SetBatch) -> dict[str, Tensor]:
        """What this share adds to the terms of its step; the losses are computed in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            cells = network(batch.controls, batch.features, batch.batches, shift=batch.shift, values=batch.values)
        terms = self.loss(cells.float(), batch)
        return {name: batch.weight * term for name, term in terms.items()}
