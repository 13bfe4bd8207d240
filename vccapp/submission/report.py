"""What a built submission says of itself: submissions/<id>/report.json."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vccapp.data.atomic import write_json
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.settings import Settings
from vccapp.submission.check import CheckResult
from vccapp.submission.package import Package
from vccapp.submission.plan import Plan

REPORT = Format("report", fix="build the submission again")


class Report(BaseModel):
    """built : ISO time; alpha : share of the wanted cells; package : its path is a name in the folder; None: refused"""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["PRACTICE", "SUBMISSION"]
    built: str
    plan: Plan
    challenge: str
    run: str
    dataset: str
    alpha: float
    cells: dict[str, int]
    checks: tuple[CheckResult, ...]
    versions: dict[str, str]
    package: Package | None = None
    folder: Path = Field(Path(), exclude=True)


def write_report(report: Report, folder: Path) -> None:
    write_json(folder / "report.json", REPORT.stamp(report.model_dump(mode="json")))


def list_reports(settings: Settings) -> Listing[Report]:
    """Of all built submissions, the newest first."""
    reports = list_records(settings.submissions.glob("*/report.json"), _read)
    reports.sort(key=lambda report: report.built, reverse=True)
    return reports


def _read(path: Path) -> Report:
    return read_record(path, REPORT, Report.model_validate).model_copy(update={"folder": path.parent})
