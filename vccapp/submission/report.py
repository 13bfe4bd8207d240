"""What a built submission says of itself: submissions/<id>/report.json."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vccapp.data.atomic import write_json
from vccapp.errors import VccAppError
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.containers import CONTAINERS
from vccapp.settings import Settings
from vccapp.submission.check import CheckResult
from vccapp.submission.making.made import Made
from vccapp.submission.packing.package import Package
from vccapp.submission.plan import Plan, list_plans, name_sources, plan_path

H5AD = "pred.h5ad"
"""The cells of a submission, in its folder."""


def _name_sources(fields: dict[str, Any]) -> dict[str, Any]:
    """A report on a plan of one source, as version 1 had it."""
    kept = {name: value for name, value in fields.items() if name not in ("challenge", "run", "dataset")}
    plan = {"depth": None, "context": None} | dict(fields.get("plan") or {})
    return kept | {
        "season": fields.get("challenge"),
        "runs": [fields.get("run")],
        "datasets": [fields.get("dataset")],
        "plan": name_sources(plan),
    }


REPORT = Format(
    "report",
    version=4,
    migrations={
        1: _name_sources,
        2: lambda fields: {"made": None} | fields,
        3: lambda fields: {"confidence": {}} | fields,
    },
    fix="build the submission again",
)


class Report(BaseModel):
    """What checking and packaging said of cells that were made.

    built : ISO time; alpha : share of the wanted cells; package : its path is a name in the folder; None: refused
    made : what the cells were made with, None where that is not known; versions : when they were packaged
    confidence : by label, how sure its prediction is (`vccapp.evaluation.confidence`); None where that cannot be told
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["PRACTICE", "SUBMISSION"]
    built: str
    plan: Plan
    season: str
    runs: tuple[str, ...]
    datasets: tuple[str, ...]
    alpha: float
    cells: dict[str, int]
    checks: tuple[CheckResult, ...]
    versions: dict[str, str]
    made: Made | None = None
    confidence: dict[str, float | None] = {}
    package: Package | None = None
    folder: Path = Field(Path(), exclude=True)


def write_report(report: Report, folder: Path) -> None:
    write_json(folder / "report.json", REPORT.stamp(report.model_dump(mode="json")))


def load_report(id: str, settings: Settings) -> Report:
    """Of a submission. Raises DataError where it was never built, or the report cannot be read."""
    return _read(plan_path(id, settings).parent / "report.json")


def list_reports(settings: Settings) -> Listing[Report]:
    """Of all built submissions, the newest first."""
    reports = list_records(settings.submissions.glob("*/report.json"), _read)
    reports.sort(key=lambda report: report.built, reverse=True)
    return reports


def find_report(plan: Plan, settings: Settings) -> Report | None:
    """What the last build or packaging of exactly this plan said; None where there was none, or it cannot be read."""
    path = plan_path(plan.id, settings).parent / "report.json"
    try:
        report = _read(path)
    except VccAppError:
        return None
    return report if report.plan == plan else None


def has_cells(plan: Plan, settings: Settings) -> bool:
    """Whether the cells of a plan are made."""
    return (plan_path(plan.id, settings).parent / H5AD).is_file()


def package_places(id: str, folder: Path) -> list[Path]:
    """Where the package of a submission may lie, in whatever container it is."""
    suffixes = dict.fromkeys(container.suffix for container in CONTAINERS.values())
    return [folder / f"{id}{suffix}" for suffix in suffixes if f"{id}{suffix}" != H5AD]


def find_package(id: str, folder: Path) -> Path | None:
    """The package of a submission; None where there is none."""
    return next((path for path in package_places(id, folder) if path.is_file()), None)


def list_unpackaged(settings: Settings) -> list[Plan]:
    """Plans whose cells are made, checked well or not at all, and not packaged."""
    refused = {report.id for report in list_reports(settings) if report.package is None and _has_failed(report)}
    return [plan for plan in list_plans(settings) if plan.id not in refused and _is_unpackaged(plan, settings)]


def _has_failed(report: Report) -> bool:
    return any(check.status == "failed" for check in report.checks)


def _is_unpackaged(plan: Plan, settings: Settings) -> bool:
    folder = plan_path(plan.id, settings).parent
    return (folder / H5AD).is_file() and find_package(plan.id, folder) is None


def _read(path: Path) -> Report:
    return read_record(path, REPORT, Report.model_validate).model_copy(update={"folder": path.parent})
