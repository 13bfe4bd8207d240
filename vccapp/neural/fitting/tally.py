"""What a training keeps count of: the terms of its loss, and its best validation. Both go into checkpoints."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor

from vccapp.errors import SpecError

DIVERGED = 1000
"""A loss this many times the first one's size."""


@dataclass
class Terms:
    """Sums of the terms of the loss over the steps since the last line of the log."""

    sums: dict[str, float] = field(default_factory=dict)
    n: int = 0
    first_loss: float | None = None

    def add(self, terms: Mapping[str, Tensor], *, step: int) -> None:
        """Those of a step. Raises SpecError when one is no number, or the loss is far beyond the first one."""
        values = {name: float(value) for name, value in terms.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise SpecError(
                    "loss_not_finite",
                    f"The training ended at step {step:,}: its loss term '{name}' is {value}, which is not a number",
                    found=value,
                    fix="lower the learning rate, or the weight of that term",
                )
            self.sums[name] = self.sums.get(name, 0.0) + value
        loss = values["loss"]
        self.first_loss = loss if self.first_loss is None else self.first_loss
        if abs(loss) > DIVERGED * max(abs(self.first_loss), 1.0):
            raise SpecError(
                "diverged",
                f"The training diverged at step {step:,}: its loss went from {self.first_loss:.4g} to {loss:.4g}",
                found=loss,
                fix="lower the learning rate",
            )
        self.n += 1

    def take_means(self) -> dict[str, float]:
        """The mean of each over the steps; then it starts anew."""
        means = {name: total / self.n for name, total in self.sums.items()}
        self.sums, self.n = {}, 0
        return means

    def counts(self) -> dict[str, Any]:
        return {"sums": self.sums, "n": self.n, "first_loss": self.first_loss}

    @classmethod
    def restore(cls, counts: Mapping[str, Any]) -> Self:
        return cls(counts["sums"], counts["n"], counts["first_loss"])


@dataclass
class Best:
    """The best validation so far: its step and metric, the weights then, and how many came after it.

    hopeless : whether the training was given up, as none was better than the start
    """

    step: int = 0
    metric: float | None = None
    since: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)
    hopeless: bool = False

    def is_beaten(self, value: float, *, better: str, by_more_than: float) -> bool:
        """A metric that is not defined (a correlation with a constant) is no improvement."""
        sign = 1 if better == "low" else -1
        return math.isfinite(value) and (self.metric is None or sign * (self.metric - value) > by_more_than)

    def counts(self) -> dict[str, Any]:
        own = {"best_step": self.step, "best_metric": self.metric, "since_best": self.since}
        return own | {"hopeless": self.hopeless}

    @classmethod
    def restore(cls, counts: Mapping[str, Any], weights: dict[str, Tensor]) -> Self:
        return cls(counts["best_step"], counts["best_metric"], counts["since_best"], weights, counts["hopeless"])
