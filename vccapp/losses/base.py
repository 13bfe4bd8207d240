"""What a loss is, what it may look at, and the registry that finds them.

    tables = read_tables(index, labels, genes)                  # once: what is known of every training label
    context = Context(tables.to(device), label)                 # a step: the label of each set
    LOSSES["energy"](predicted, target, context)                # a scalar to be minimised
    terms = combine({"energy": 1.0, "de": 0.5}, predicted, target, context)
    terms["loss"].backward()                                    # and terms["energy"], ... are logged, without weights

predicted, target : (sets, cells, genes) log1p values; the cells of a set share a label. A loss of single cells takes
sets of one. To add one, write `vccapp/losses/<name>.py` with a registered function that has these three arguments.
Where a step is done in shares, by processes or one after the other, a loss sees the sets of one: the mean over the
shares, each weighted by its sets, is then the loss of the whole step. So whatever it divides by must be of the step
(`Context.step_label`, `share`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from vccapp.data.schema import control_of, genes_of, is_control, positions_of
from vccapp.data.significance import FDR
from vccapp.registry import Registry
from vccapp.stats.halves import correct_spearman_brown, correlate_halves, half_deltas
from vccapp.stats.pseudobulks import Pseudobulks

Loss = Callable[[Tensor, Tensor, "Context"], Tensor]
LOSSES = Registry[Loss]("loss", package="vccapp.losses")

Function = TypeVar("Function", bound=Callable[..., Tensor])

SET_LOSSES: set[Callable[..., Tensor]] = set()
"""Those that compare distributions, so that a network of single cells cannot learn by them."""


def of_sets(loss: Function) -> Function:
    """Mark a loss whose sets must have at least two cells."""
    SET_LOSSES.add(loss)
    return loss


@dataclass(frozen=True)
class Tables:
    """What the index says of every label, over the modelled genes; the controls of each context come first.

    means, deltas : (labels, genes) float32 log1p, of all cells of the label; minus the control's
    error : (labels, genes) standard error of the delta, never 0
    expressed : (labels, genes) bool, some cell of the label has the gene
    de : (labels, genes) int8, -1 down, 1 up at FDR < 0.05, 0 neither
    tested : (labels, genes) bool, genes that the DE and rank losses look at: not the label's own targets
    reliability : (labels,) Spearman-Brown corrected correlation of the two halves' deltas, 0 .. 1; 0 for the control
    control : (labels,) int64 row of the controls that each is compared with
    """

    means: Tensor
    deltas: Tensor
    error: Tensor
    expressed: Tensor
    de: Tensor
    tested: Tensor
    reliability: Tensor
    control: Tensor

    @cached_property
    def n_controls(self) -> int:
        """The first so many rows are controls."""
        return int(self.control.max()) + 1

    def to(self, device: torch.device | str) -> Self:
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Context:
    """A step: what is known, the label of each set, and the control cells that it started from.

    label : (sets,) int64 rows of the tables; controls : like predicted, for the losses that compare cell with cell
    whole : the labels of all sets of the step, where these are a share of them
    """

    tables: Tables
    label: Tensor
    controls: Tensor | None = None
    whole: Tensor | None = None

    @property
    def step_label(self) -> Tensor:
        """Labels of all sets of the step."""
        return self.label if self.whole is None else self.whole

    @property
    def share(self) -> float:
        """Of the step's sets, those that are seen."""
        return len(self.label) / len(self.step_label)

    def sum_over_processes(self, values: Tensor) -> Tensor:
        """With its gradient."""
        return values if self.whole is None else SumOverProcesses.apply(values)

    def control_mean(self, label: Tensor | None = None) -> Tensor:
        """(sets, genes), or of these labels: (labels, genes)."""
        return self.tables.means[self.tables.control[self.label if label is None else label]]

    def perturbed(self, label: Tensor | None = None) -> Tensor:
        """(sets,) bool, or of these labels: not the controls."""
        return (self.label if label is None else label) >= self.tables.n_controls


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
    total = sum((weight * terms[name] for name, weight in chosen.items()), start=predicted.new_zeros(()))
    return {"loss": total} | terms


class SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over the processes of a training; what each makes of it, each gets the gradient of."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return SumOverProcesses.forward(_, gradient)


def read_tables(index: Pseudobulks, labels: Sequence[str], genes: np.ndarray) -> Tables:
    """Of `labels`, the controls first, over the genes at these positions."""
    rows = index.rows(list(labels))
    position = positions_of(labels)
    control = np.array([position[control_of(label)] for label in labels])

    def read(name: str) -> np.ndarray:
        return np.ascontiguousarray(index.array(name)[rows][:, genes])

    means, variance = read("mean").astype(np.float32), read("variance")
    n_cells = index.perturbations["n_cells"].to_numpy()[rows]
    variance = np.where(n_cells[:, None] > 1, variance, variance[control])  # one cell does not tell its own
    own = variance / n_cells[:, None]
    error = np.sqrt(own + own[control])
    floor = np.median(error[error > 0]) if (error > 0).any() else 1.0
    lfc, significant = read("de/lfc_2025"), read("de/fdr") < np.float32(FDR)
    names = index.genes["gene"].to_numpy(str)[genes]
    targets = [() if is_control(label) else genes_of(label) for label in labels]
    halves = [half.astype(np.float64) for half in half_deltas(index, labels, genes)]
    reliability = np.nan_to_num(correct_spearman_brown(correlate_halves(*halves)))
    return Tables(
        means=torch.from_numpy(means),
        deltas=torch.from_numpy(means - means[control]),
        error=torch.from_numpy(np.maximum(error, 0.1 * floor).astype(np.float32)),
        expressed=torch.from_numpy(means > 0),
        de=torch.from_numpy((np.sign(np.nan_to_num(lfc)) * significant).astype(np.int8)),
        tested=torch.from_numpy(np.stack([~np.isin(names, own) for own in targets])),
        reliability=torch.from_numpy(reliability.astype(np.float32)),
        control=torch.from_numpy(control.astype(np.int64)),
    )
