"""What a fit may use besides the data: handed from a run to its model, and by an iterative model to its loop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from vccapp.data.stores.access import CLOSED, Access
from vccapp.progress import Progress, silent


def forget(values: dict[str, float]) -> None:
    """Log nothing."""


@dataclass(frozen=True)
class Fitting:
    """
    seed : same seed, same model
    log : one line a logged step, {"step": 1, "loss": ...}; validations as "val_..."
    progress : may raise Stopped; a loop writes a checkpoint first
    folder : where checkpoints are kept, and looked for to go on from; None keeps none
    validate : scores of predicted deltas (n_val, n_genes) of the split's val part, in its order; None: no val part
    memory_bytes : what the fit may plan with; access : what files beside the data may link to
    device : "cpu", "cuda", or "auto" for CUDA where there is one
    rank, ranks : which of so many processes this is, that share each step; the first logs, validates and writes
    """

    seed: int = 0
    log: Callable[[dict[str, float]], None] = forget
    progress: Progress = silent
    folder: Path | None = None
    validate: Callable[[np.ndarray], dict[str, float]] | None = None
    memory_bytes: int = 4 * 10**9
    access: Access = CLOSED
    device: str = "auto"
    rank: int = 0
    ranks: int = 1


class FittingOptions(TypedDict, total=False):
    """The fields of `Fitting` as the options of a call."""

    seed: int
    log: Callable[[dict[str, float]], None]
    progress: Progress
    folder: Path | None
    validate: Callable[[np.ndarray], dict[str, float]] | None
    memory_bytes: int
    access: Access
    device: str
    rank: int
    ranks: int
