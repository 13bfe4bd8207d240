"""TensorBoard: an event file in every run's folder, so that `tensorboard --logdir checkpoints` shows all runs.

Written by the package `tensorboard` alone, without TensorFlow. A run that goes on begins a new file with all that still
holds of the old one, at the times at which it was logged.
"""

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vccapp.training.metrics_log import Line
from vccapp.training.record import State
from vccapp.training.trackers.base import TRACKERS, Tracked, Tracker

STAMP = "events.out.tfevents."
VERSION = "brain.Event:2"


@TRACKERS.register("tensorboard")
class TensorBoard(Tracker):
    label = "TensorBoard"
    whole = True

    def start(self, run: Tracked, key: str) -> str:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        older = sorted(run.folder.glob(f"{STAMP}*"))
        self._times = {(step, tag): at for path in older for step, tag, at in _read_times(path)}
        # TensorBoard reads files in the order of these names, and never one before another that it has seen.
        second = max([int(time.time()), *(_second(path) + 1 for path in older)])
        path = run.folder / f"{STAMP}{second:010d}.{platform.node()}.{os.getpid()}"
        self._writer = RecordWriter(path.open("xb"))
        self._write(Event(wall_time=time.time(), file_version=VERSION))
        self._writer.flush()
        for path in older:
            path.unlink(missing_ok=True)
        self._step = 0
        return ""

    def log(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._add(int(line["step"]), {name: value for name, value in line.items() if name != "step"})
        self._writer.flush()

    def end(self, state: State, scores: Mapping[str, float]) -> None:
        self._add(self._step, scores)
        self._writer.close()

    def _add(self, step: int, values: Mapping[str, float]) -> None:
        now, self._step = time.time(), step
        for tag, value in values.items():
            summary = self._summary(value=[self._summary.Value(tag=tag, simple_value=value)])
            self._write(self._event(wall_time=self._times.get((step, tag), now), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())


def _read_times(path: Path) -> Iterator[tuple[int, str, float]]:
    """Step, tag and time of each value; of a file that ends in the middle, those before."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            yield event.step, value.tag, event.wall_time


def _second(path: Path) -> int:
    number = path.name.removeprefix(STAMP).partition(".")[0]
    return int(number) if number.isdecimal() else 0
