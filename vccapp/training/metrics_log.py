"""The log of a training, metrics.jsonl: lines {"step": 100, "seconds": 8.2, "loss": 0.5, ...}; validations "val_...".

`seconds` is how long the training has run: pauses between a stop and its resumption do not count.

A killed training may have logged beyond its last checkpoint and torn its last line; the lines that the resumed one
writes again replace them.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd

NAME = "metrics.jsonl"
Line = dict[str, float]
SECONDS = "seconds"
WHEN = ("step", SECONDS)
"""Keys of a line that say when it was logged; all others are values."""


class MetricsLog:
    """Appends lines; from the first line on, what an earlier process logged from that line on is gone.

    The same line has the same step and the same names: a step may have one of the loss and one of a validation.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = folder / NAME, clock
        self._earlier: list[Line] | None = _read_lines(self._path)
        self._began = clock()
        self._file = self._path.open("a+")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __call__(self, values: Line) -> None:
        if self._earlier is not None:
            self._file.truncate(0)
            before = 0.0
            for line in self._earlier:
                if line["step"] > values["step"] or line["step"] == values["step"] and _names(line) == _names(values):
                    break
                print(json.dumps(line), file=self._file)
                before = line.get(SECONDS, 0.0)
            self._began -= before
            self._earlier = None
        seconds = round(self._clock() - self._began, 2)
        line = {"step": values["step"], SECONDS: seconds} | values
        print(json.dumps(line), file=self._file, flush=True)
        if os.fstat(self._file.fileno()).st_nlink == 0:
            self._put_back()

    def _put_back(self) -> None:
        """The file was deleted: write what it held to a new one."""
        self._file.seek(0)
        with self._file as deleted, self._path.open("w") as file:
            file.write(deleted.read())
        self._file = self._path.open("a+")


def read_metrics(folder: Path) -> pd.DataFrame:
    """Long form of a run's log: step, seconds (NaN where they were not noted), name, value; empty without lines."""
    rows = [
        (line["step"], line.get(SECONDS), name, value)
        for line in _read_lines(folder / NAME)
        for name, value in line.items()
        if name not in WHEN
    ]
    return pd.DataFrame(rows, columns=["step", "seconds", "name", "value"]).astype({"seconds": float})


def _names(line: Line) -> set[str]:
    """Of its values."""
    return set(line) - set(WHEN)


def read_lines(folder: Path) -> list[Line]:
    """Step and values of the lines of a run's log, without one that is torn; none where nothing is logged yet."""
    lines = _read_lines(folder / NAME)
    return [{name: value for name, value in line.items() if name != SECONDS} for line in lines]


def _read_lines(path: Path) -> list[Line]:
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # torn: the process was killed while it wrote
            break
        if not isinstance(line, dict) or "step" not in line:
            break
        lines.append(line)
    return lines
