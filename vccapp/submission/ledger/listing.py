"""The ledger: every submission that was planned, built, sent or scored, with all that is known of it.

for one in load_ledger(settings):
    one.id, one.report, one.entry.sent, one.results
"""

from dataclasses import dataclass
from pathlib import Path

from vccapp.errors import DataError
from vccapp.records import Listing
from vccapp.settings import Settings
from vccapp.submission.ledger.entry import Entry, Sent, list_entries
from vccapp.submission.packing.package import Package
from vccapp.submission.plan import Plan, list_plans
from vccapp.submission.report import Report, find_package, list_reports
from vccapp.submission.scored import list_local_scores
from vccapp.training.results.entered import EnteredResult, list_results


@dataclass(frozen=True)
class Submission:
    """One line of the ledger.

    planned : its plan as it is now, None where it was deleted; built : what the last build said, None without one
    results : official ones, the newest first; file : its package, None where there is none any more
    """

    id: str
    planned: Plan | None
    built: Report | None
    entry: Entry
    results: tuple[EnteredResult, ...]
    file: Path | None

    @property
    def last_sent(self) -> Sent | None:
        return self.entry.sent[-1] if self.entry.sent else None

    @property
    def report(self) -> Report | None:
        """Of what was sent last; else of the last build."""
        return self.built if self.last_sent is None else self.last_sent.report

    @property
    def plan(self) -> Plan | None:
        """Of what was sent last; else as it is now."""
        return self.planned if self.report is None else self.report.plan

    @property
    def package(self) -> Package | None:
        return None if self.report is None else self.report.package

    @property
    def state(self) -> str:
        """planned, built, refused (by a check), sent or scored; deleted where no more is known than its name."""
        if self.results:
            return "scored"
        if self.entry.sent:
            return "sent"
        if self.report is not None:
            return "refused" if self.report.package is None else "built"
        return "planned" if self.planned is not None else "deleted"

    @property
    def note(self) -> str:
        """What must be known of it beside its fields."""
        sent = self.last_sent
        if sent is None or self.built is None or sent.report.package is None:
            return ""
        again = self.built.package
        if again is None or again.sha256 != sent.report.package.sha256:
            return "It was built again since it was sent, with another result; the ledger shows what was sent."
        return ""


def load_ledger(settings: Settings) -> Listing[Submission]:
    """All of them, the one that was built or sent last first, then those that are planned. Reads no cells."""
    plans, reports = list_plans(settings), list_reports(settings)
    entries, results = list_entries(settings), list_results(settings)
    planned = {plan.id: plan for plan in plans}
    built = {report.folder.name: report for report in reports}
    said = {entry.id: entry for entry in entries}
    scored: dict[str, list[EnteredResult]] = {}
    for result in results:
        if result.submission is not None:
            scored.setdefault(result.submission, []).append(result)
    found = []
    for id in sorted({*planned, *built, *said, *scored}):
        entry = said.get(id) or Entry(id=id)
        report = built.get(id) or entry.last
        file = find_package(id, settings.submissions / id)
        found.append(Submission(id, planned.get(id), report, entry, tuple(scored.get(id, ())), file))
    found.sort(key=_newest, reverse=True)
    local = list_local_scores(settings)  # which `vccapp.submission.ledger.local` shows
    lost = [one for listed in (plans, reports, entries, results, local) for one in listed.unreadable]
    return Listing(found, lost)


def find_submission(id: str, settings: Settings) -> Submission:
    """Raises DataError where the ledger has none of this name, or what it has cannot be read."""
    ledger = load_ledger(settings)
    for one in ledger:
        if one.id == id:
            return one
    for lost in ledger.unreadable:
        if lost.path.stem == id or lost.path.parent.name == id:
            raise lost.error
    raise DataError("unknown_submission", f"There is no submission '{id}'", fix="see `vccapp submit ledger list`")


def _newest(one: Submission) -> str:
    sent = one.last_sent
    times = [sent.when.isoformat() if sent else "", "" if one.report is None else one.report.built]
    return max(times)
