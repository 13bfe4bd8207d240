"""An official result that is entered for a submission: by hand, or from what the official tool printed.

enter_scores("mine", {"overall": 0.31}, settings, rank=12)
enter_official("mine", read_official(path), settings)
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from vccapp.errors import SpecError
from vccapp.seasons.opened import find_season
from vccapp.settings import Settings
from vccapp.submission.ledger.listing import Submission, find_submission
from vccapp.submission.ledger.official import Official
from vccapp.submission.plan import Plan
from vccapp.training.results.entered import EnteredResult, make_result, make_result_id, write_result

Scale = Literal["raw", "scaled"]


def enter_scores(
    id: str,
    scores: Mapping[str, float],
    settings: Settings,
    *,
    scale: Scale = "scaled",
    phase: str | None = None,
    day: date | None = None,
    rank: int | None = None,
    judged: Mapping[str, str] | None = None,
    note: str = "",
) -> EnteredResult:
    """Keep a result of a submission. phase : that in which it was sent, else of its plan, if None; day : today if None

    Raises SpecError naming what is wrong, DataError where there is no such submission.
    """
    one = find_submission(id, settings)
    plan = _require_plan(one)
    phase = phase or _find_phase(one, plan, settings)
    return _write(
        one,
        plan,
        settings,
        date=day or date.today(),
        phase=phase,
        scale=scale,
        scores=dict(scores),
        rank=rank,
        judged=dict(judged or {}),
        note=note,
    )


def enter_official(
    id: str, found: Official, settings: Settings, *, day: date | None = None, note: str = ""
) -> EnteredResult:
    """Keep what the official tool said of a submission; a result of the same official entry is replaced.

    Raises SpecError where it is of another phase than was sent, and as `enter_scores` does.
    """
    one = find_submission(id, settings)
    plan = _require_plan(one)
    replaced = next((old.id for old in one.results if found.entry and old.entry == found.entry), None)
    return _write(
        one,
        plan,
        settings,
        id=replaced,
        date=day or found.day or date.today(),
        phase=_check_phase(found, one, plan, settings),
        scale="scaled",
        scores=found.scores,
        rank=found.rank,
        judged=found.judged,
        note=note,
        entry=found.entry,
    )


def _write(one: Submission, plan: Plan, settings: Settings, *, id: str | None = None, **fields: Any) -> EnteredResult:
    about = {
        "id": id or make_result_id(fields["date"]),
        "season": plan.season,
        "run": plan.runs[0] if len(plan.runs) == 1 else None,
        "submission": one.id,
    }
    result = make_result(settings, **about, **fields)
    write_result(result, settings)
    return result


def _require_plan(one: Submission) -> Plan:
    if one.plan is None:
        raise SpecError(
            "nothing_known",
            f"Nothing is known of the submission '{one.id}' but its name",
            fix="enter the result without it: vccapp eval entered add",
        )
    return one.plan


def _find_phase(one: Submission, plan: Plan, settings: Settings) -> str:
    """In which it was sent last, of its plan, or the season's first."""
    sent = one.last_sent
    phase = plan.phase if sent is None else sent.phase
    return phase or find_season(plan.season, settings).phases[0].name


def _check_phase(found: Official, one: Submission, plan: Plan, settings: Settings) -> str:
    """The phase that the judge says; what was sent must be of it."""
    phases = find_season(plan.season, settings).phases
    if found.final is None:
        return _find_phase(one, plan, settings)
    judged = phases[-1 if found.final else 0].name
    known = plan.phase if one.last_sent is None else one.last_sent.phase
    if known not in (None, judged):
        raise SpecError(
            "other_phase",
            f"The result is of the phase {judged}, but '{one.id}' is of {known}",
            fix="enter it for the submission that was sent then",
        )
    return judged
