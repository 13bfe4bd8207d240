"""What the official program writes while it works, read from where the last look ended."""

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path

STEP = "step"
NAMES = {"train_loss": "loss"}
"""Its names that we have others for; "val_loss" is called so here too."""


class LogReader:
    """The whole lines of a growing log; of a line that is written over, such as a bar of progress, its last state."""

    def __init__(self, path: Path, *, start: int = 0) -> None:
        self._path, self._at, self._rest = path, start, b""

    def new_lines(self) -> Iterator[str]:
        with self._path.open("rb") as file:
            file.seek(self._at)
            read = file.read()
        self._at += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        for line in lines:
            text = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace").rstrip()
            if text:
                yield text


class MetricsReader:
    """The rows of its metrics.csv, which it writes again from the start where a new column comes."""

    def __init__(self, path: Path) -> None:
        self._path, self._known, self._seen = path, 0, (0, 0)

    def new_rows(self) -> list[dict[str, float]]:
        """Rows as {"step": ..., "loss": ..., "val_loss": ...}, losses alone; none that is half written."""
        try:
            about = self._path.stat()
        except FileNotFoundError:
            return []
        if (about.st_mtime_ns, about.st_size) == self._seen:
            return []
        self._seen = about.st_mtime_ns, about.st_size
        text = self._path.read_text(errors="replace")
        whole = text[: text.rfind("\n") + 1]
        rows = [row for row in csv.DictReader(whole.splitlines()) if row.get(STEP)]
        fresh, self._known = rows[self._known :], max(self._known, len(rows))
        return [read for row in fresh if len(read := _read_row(row)) > 1]


def _read_row(row: dict[str, str | None]) -> dict[str, float]:
    found: dict[str, float] = {STEP: int(float(row[STEP] or 0)) + 1}  # it counts from zero
    for name, text in row.items():
        if name and name.endswith("loss") and text:
            try:
                found[NAMES.get(name, re.sub(r"\W", "_", name))] = float(text)
            except ValueError:
                continue
    return found


def find_nan(row: dict[str, float]) -> str | None:
    """The name of a value that is no finite number."""
    return next((name for name, value in row.items() if not math.isfinite(value)), None)
