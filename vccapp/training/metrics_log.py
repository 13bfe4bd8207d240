"""The log lines of a training, metrics.jsonl: {"step": 100, "loss": 0.5, ...}, validations with keys "val_...".

A killed training may have logged beyond its last checkpoint and torn its last line; the lines that the resumed one
writes again replace them.
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd

NAME = "metrics.jsonl"


class MetricsLog:
    """Appends lines; from the first line on, what an earlier process logged from that line on is gone.

    The same line has the same step and the same names: a step may have one of the loss and one of a validation.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._earlier: list[dict[str, float]] | None = _read_lines(self._path)
        self._file = self._path.open("a")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __call__(self, values: dict[str, float]) -> None:
        if self._earlier is not None:
            self._file.truncate(0)
            for line in self._earlier:
                if line["step"] > values["step"] or line.keys() == values.keys() and line["step"] == values["step"]:
                    break
                print(json.dumps(line), file=self._file)
            self._earlier = None
        print(json.dumps(values), file=self._file, flush=True)


def read_metrics(folder: Path) -> pd.DataFrame:
    """Long form of a run's log: step, name, value; empty where nothing is logged yet."""
    rows = [
        (line["step"], name, value)
        for line in _read_lines(folder / NAME)
        for name, value in line.items()
        if name != "step"
    ]
    return pd.DataFrame(rows, columns=["step", "name", "value"])


def _read_lines(path: Path) -> list[dict[str, float]]:
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
