"""The log lines of a training, metrics.jsonl: {"step": 100, "loss": 0.5, ...}, validations with keys "val_...".

A killed training may have logged beyond its last checkpoint and torn its last line; the lines that the resumed one
writes again replace them.
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd

NAME = "metrics.jsonl"
Line = dict[str, float]


class MetricsLog:
    """Appends lines; from the first line on, what an earlier process logged from that line on is gone.

    The same line has the same step and the same names: a step may have one of the loss and one of a validation.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._earlier: list[Line] | None = read_lines(folder)
        self._file = self._path.open("a+")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __call__(self, values: Line) -> None:
        if self._earlier is not None:
            self._file.truncate(0)
            for line in self._earlier:
                if line["step"] > values["step"] or line.keys() == values.keys() and line["step"] == values["step"]:
                    break
                print(json.dumps(line), file=self._file)
            self._earlier = None
        print(json.dumps(values), file=self._file, flush=True)
        if os.fstat(self._file.fileno()).st_nlink == 0:
            self._put_back()

    def _put_back(self) -> None:
        """The file was deleted: write what it held to a new one."""
        self._file.seek(0)
        with self._file as deleted, self._path.open("w") as file:
            file.write(deleted.read())
        self._file = self._path.open("a+")


def read_metrics(folder: Path) -> pd.DataFrame:
    """Long form of a run's log: step, name, value; empty where nothing is logged yet."""
    rows = [
        (line["step"], name, value) for line in read_lines(folder) for name, value in line.items() if name != "step"
    ]
    return pd.DataFrame(rows, columns=["step", "name", "value"])


def read_lines(folder: Path) -> list[Line]:
    """The lines of a run's log, without one that is torn; none where nothing is logged yet."""
    path = folder / NAME
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
