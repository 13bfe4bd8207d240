"""The interface of every tracker, and the registry that finds them.

A tracker shows runs in another program. TensorBoard's files are written for every run; the others are named in
VCCAPP_TRACKERS. To add one, write `vccapp/training/trackers/<name>.py` with a registered subclass; its program is
imported by `start`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from vccapp.registry import Registry
from vccapp.training.metrics_log import Line
from vccapp.training.record import State

TRACKERS = Registry[type["Tracker"]]("tracker", package="vccapp.training.trackers")

PROJECT = "vccapp"
"""Where the runs stand in a tracker whose own settings name no project."""


@dataclass(frozen=True)
class Tracked:
    """What a tracker is told of a run. folder : of the run; home : the workspace; config : all that decides it"""

    id: str
    title: str
    folder: Path
    home: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or self.id


class Tracker(ABC):
    """One run in one tracker.

    Its methods are called in order, on a thread of its own: whatever they raise, or how long they take, is no matter
    of the run. whole : it is given all lines again at each start, not those alone that it has not had
    """

    label: ClassVar[str]
    whole: ClassVar[bool] = False

    @abstractmethod
    def start(self, run: Tracked, key: str) -> str:
        """Begin the run, or go on with the one that an earlier start called `key`; returns what it is called there."""

    @abstractmethod
    def log(self, lines: Sequence[Line]) -> None:
        """Lines of metrics.jsonl in their order."""

    @abstractmethod
    def end(self, state: State, scores: Mapping[str, float]) -> None:
        """How the training ended: finished, stopped or failed. scores : of a finished one, such as test/pds"""
