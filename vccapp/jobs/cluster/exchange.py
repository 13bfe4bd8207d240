"""The files by which a job and its work on a cluster talk, in a folder that both machines see: jobs/<id>/cluster/

    report.json    how far it is and how it ended, written there
    sign           touched here while the job is followed; work that nobody follows ends itself
    log.txt        what the work prints there

Each has one writer, and the report is replaced whole, so no lock is needed. Files are opened before they are asked
about: a network file system answers from its memory otherwise.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import write_json
from vccapp.errors import DataError
from vccapp.jobs.job import State
from vccapp.records import Format, read_record

REPORT = Format("cluster report", fix="start the job again")
FOLDER, SIGN = "cluster", "sign"


class Report(BaseModel):
    """How far it is. state : "running", or how it ended; outcome : what to record with that end"""

    model_config = ConfigDict(frozen=True)

    fraction: float = 0.0
    message: str = ""
    state: Literal["running"] | State = "running"
    outcome: dict[str, Any] = {}


class Exchange:
    """Of the job in this folder."""

    def __init__(self, job: Path) -> None:
        self.folder = job / FOLDER
        self.log = self.folder / "log.txt"
        self._report, self._sign = self.folder / "report.json", self.folder / SIGN
        self._read = 0

    def write_report(self, report: Report) -> None:
        write_json(self._report, REPORT.stamp(report.model_dump(mode="json")))

    def read_report(self) -> Report:
        """The latest; an empty one before the first, or while it cannot be read."""
        try:
            return read_record(self._report, REPORT, Report.model_validate)
        except DataError:
            return Report()

    def sign(self) -> None:
        """Say that the job is followed."""
        self.folder.mkdir(exist_ok=True)
        self._sign.touch()

    def read_sign(self) -> int | None:
        """Something that changes with every sign; None once it is left."""
        try:
            with self._sign.open("rb") as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return None

    def new_log(self) -> bytes:
        """The lines that the work has printed since the last call."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return b""
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        return data


def leave(job: Path) -> None:
    """Follow the work of this job no more: what still works for it on a cluster kills itself."""
    (job / FOLDER / SIGN).unlink(missing_ok=True)
