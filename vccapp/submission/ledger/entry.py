"""What a person says of a submission, and what was sent of it: kept apart from its files, which may go.

    entry = record_sent("mine", settings, when=datetime.now(UTC))
    entry.sent[-1].report.package.sha256

    workspace/ledger/<id>.json    one Entry; written atomically

What was sent is kept whole, with the report of the build: a submission that is built again, or deleted, still says
which file the judges have.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vccapp.data.atomic import write_json
from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.opened import find_season
from vccapp.settings import Settings
from vccapp.submission.plan import check_id, delete_submission, plan_path
from vccapp.submission.report import REPORT, Report, load_report

ENTRY = Format("ledger entry", fix="delete it; the submission itself is not touched")
Tag = Annotated[str, Field(pattern=r"^[^\s,]+$", max_length=40)]


class Sent(BaseModel):
    """One upload. phase : of the season, None where the plan is of none; report : of the file that was sent"""

    model_config = ConfigDict(frozen=True)

    when: datetime
    phase: str | None
    report: Report


class Entry(BaseModel):
    """What is kept of one submission. last : the report of its last build, once the submission was deleted"""

    model_config = ConfigDict(frozen=True)

    id: str
    note: str = Field("", max_length=2000)
    tags: tuple[Tag, ...] = Field((), max_length=20)
    sent: tuple[Sent, ...] = ()
    last: Report | None = None


def list_entries(settings: Settings) -> Listing[Entry]:
    """By id."""
    return list_records(_folder(settings).glob("*.json"), _read)


def find_entry(id: str, settings: Settings) -> Entry:
    """An empty one where nothing was said yet. Raises DataError where it is damaged."""
    path = _path(id, settings)
    return _read(path) if path.is_file() else Entry(id=id)


def set_note(id: str, note: str, settings: Settings) -> Entry:
    """Replace the note. Raises SpecError for one that is too long, DataError where there is no such submission."""
    return _change(id, settings, note=note.strip())


def set_tags(id: str, settings: Settings, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Entry:
    """Add and remove tags. Raises SpecError for what cannot be one, DataError where there is no such submission."""
    before = find_entry(id, settings).tags
    kept = [tag for tag in before if tag not in remove]
    return _change(id, settings, tags=tuple(dict.fromkeys([*kept, *add])))


def record_sent(
    id: str, settings: Settings, *, when: datetime | None = None, phase: str | None = None, now: datetime | None = None
) -> Entry:
    """Note that the submission's package, as it is now, was sent. phase : that of its plan if None

    Raises SpecError for a time to come or an unknown phase, DataError where no package was made.
    """
    now = now or datetime.now(UTC)
    when = _as_utc(when or now)
    report = _load_report(id, settings)
    if report is None or report.package is None:
        raise DataError(
            "not_packaged", f"The submission '{id}' has no package, so nothing of it was sent", fix="build it first"
        )
    if when > now:
        raise SpecError("in_future", f"{when:%Y-%m-%d %H:%M} UTC is still to come", fix="give the time it was sent")
    if phase is not None:
        find_season(report.season, settings).phase(phase)
    sent = Sent(when=when, phase=phase or report.plan.phase, report=report.model_copy(update={"folder": Path()}))
    every = sorted([*find_entry(id, settings).sent, sent], key=lambda one: one.when)
    return _change(id, settings, sent=tuple(every))


def forget_sent(id: str, settings: Settings) -> Entry:
    """Take back the last note that it was sent. Raises SpecError where there is none."""
    entry = find_entry(id, settings)
    if not entry.sent:
        raise SpecError("never_sent", f"The submission '{id}' was never noted as sent", fix="choose another")
    return _change(id, settings, sent=entry.sent[:-1])


def delete_kept(id: str, settings: Settings) -> int:
    """Delete a submission's plan, cells and package; the ledger keeps what made it. Returns the bytes that are free.

    Raises DataError where there is no such submission.
    """
    report = _load_report(id, settings)
    if report is not None:
        _change(id, settings, last=report.model_copy(update={"folder": Path()}))
    return delete_submission(id, settings)


def _load_report(id: str, settings: Settings) -> Report | None:
    """None where it was never built, or the report cannot be read."""
    try:
        return load_report(id, settings)
    except VccAppError:
        return None


def _change(id: str, settings: Settings, **fields: object) -> Entry:
    path = _path(id, settings)
    if not path.is_file() and not plan_path(id, settings).is_file():
        raise DataError("unknown_submission", f"There is no submission '{id}'", fix="see `vccapp submit ledger list`")
    try:
        entry = Entry.model_validate({**dict(find_entry(id, settings)), **fields})
    except ValueError:
        raise SpecError(
            "bad_entry",
            "A note has at most 2,000 characters, and a tag is one word of at most 40, at most 20 of them",
            fix="shorten it",
        ) from None
    write_json(path, ENTRY.stamp(_map_reports(entry.model_dump(mode="json"), REPORT.stamp)))
    return entry


def _as_utc(when: datetime) -> datetime:
    """A time without a zone is UTC."""
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _folder(settings: Settings) -> Path:
    return settings.home / "ledger"


def _path(id: str, settings: Settings) -> Path:
    return _folder(settings) / f"{check_id(id)}.json"


def _read(path: Path) -> Entry:
    def parse(saved: dict[str, Any]) -> Entry:
        return Entry.model_validate(_map_reports(saved, lambda report: REPORT.migrate(report, path)))

    return read_record(path, ENTRY, parse)


def _map_reports(fields: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Each report within says its own version, and is read by it."""
    sent = [one | {"report": change(one["report"])} for one in fields.get("sent", ())]
    last = fields.get("last")
    return fields | {"sent": sent, "last": None if last is None else change(last)}
