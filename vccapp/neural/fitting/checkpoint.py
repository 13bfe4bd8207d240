"""Checkpoints of a training that can be killed at any moment: folders `step-00000120`, the last of which is whole.

    network.safetensors     weights and buffers; best.* and average.* are those of the best and of the averaged network
    optimiser.pt            the optimiser's state, written by torch.save and read with weights_only=True
    state.json              the step, and whatever else the loop counts

A checkpoint is written under a new name and only then are older ones removed, so there is one at every moment.
"""

import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vccapp.data.atomic import write_folder
from vccapp.records import Format, read_record, undamaged

NAME = re.compile(r"step-(\d+)")
COUNTS = ("validated", "sums", "n", "first_loss", "best_step", "best_metric", "since_best", "hopeless")
"""What the loop counts beside steps."""
SHARE = 0.02
"""Of the time of a training at most goes into checkpoints: those of large networks take seconds."""
CHECKPOINT = Format(
    "checkpoint",
    3,
    {
        1: lambda fields: {"validated": fields["step"], **fields},
        2: lambda fields: {"hopeless": False, **fields},
    },
    fix="delete the checkpoint and train again",
)
"""Version 1 had none between two validations, 2 no training that is given up."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a loop needs to go on as if it had not been interrupted."""

    step: int  # steps done
    weights: dict[str, Tensor]
    optimiser: dict[int, tuple[Tensor, Tensor, Tensor]]
    counts: dict[str, Any]  # plain JSON

    def part(self, kind: str) -> dict[str, Tensor]:
        """The weights called '<kind>.<name>', by name."""
        start = f"{kind}."
        return {key.removeprefix(start): value for key, value in self.weights.items() if key.startswith(start)}


class Checkpoints:
    """Those that one training writes, and when the next is due; none without a folder."""

    def __init__(self, folder: Path | None, *, step: int, seconds: float) -> None:
        """step : of the checkpoint that the training goes on from, 0 without; seconds : between two, 0 for always"""
        self._folder, self._seconds = folder, seconds
        self._step, self._written, self._took = step, time.monotonic(), 0.0

    def are_due(self) -> bool:
        due = max(self._seconds, self._took / SHARE) if self._seconds else 0.0
        return time.monotonic() - self._written > due

    def write(self, checkpoint: Checkpoint) -> None:
        """Write it, unless there is one of its step."""
        if self._folder is None or checkpoint.step == self._step:
            return
        began = time.monotonic()
        write_checkpoint(self._folder, checkpoint)
        self._step, self._written = checkpoint.step, time.monotonic()
        self._took = self._written - began


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write into `folder`, made where its own folder is there, and remove the older checkpoints there."""
    folder.mkdir(exist_ok=True)
    target = folder / f"step-{checkpoint.step:08d}"
    with write_folder(target) as beside:
        save_file(
            {name: value.contiguous() for name, value in checkpoint.weights.items()}, beside / "network.safetensors"
        )
        with (beside / "optimiser.pt").open("wb") as file:  # by its name torch loses why it cannot be written
            torch.save(checkpoint.optimiser, file)
        counts = {name: checkpoint.counts[name] for name in COUNTS}
        state = CHECKPOINT.stamp({"step": checkpoint.step, **counts})
        (beside / "state.json").write_text(json.dumps(state) + "\n")
    for path in folder.iterdir():
        if path.name != target.name and (NAME.fullmatch(path.name) or path.suffix == ".part"):
            shutil.rmtree(path, ignore_errors=True)


def read_last(folder: Path | None) -> Checkpoint | None:
    """The last checkpoint in `folder`. Raises DataError when it is damaged."""
    path = None if folder is None else find_checkpoint(folder)
    return None if path is None else read_checkpoint(path)


def find_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint in `folder`; None where there is none."""
    if folder.exists() and not folder.is_dir():
        raise CHECKPOINT.damaged(folder, "it is no folder")
    found = {int(name[1]): path for path in folder.glob("step-*") if (name := NAME.fullmatch(path.name))}
    return found[max(found)] if found else None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote. Raises DataError when it is damaged."""
    step, counts = read_record(path / "state.json", CHECKPOINT, _parse)
    with undamaged(path / "network.safetensors", SafetensorError, fix=CHECKPOINT.fix):
        weights = load_file(path / "network.safetensors")
    with undamaged(path / "optimiser.pt", UnpicklingError, fix=CHECKPOINT.fix):
        optimiser = torch.load(path / "optimiser.pt", weights_only=True, map_location="cpu")
    return Checkpoint(step, weights, optimiser, counts)


def _parse(saved: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    step = saved["step"]
    if type(step) is not int or step < 0:
        msg = f"its step is {step!r}"
        raise ValueError(msg)
    return step, {name: saved[name] for name in COUNTS}
