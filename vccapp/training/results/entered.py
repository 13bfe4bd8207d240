"""Results that an official judge gave a submission, entered by hand.

    workspace/entered/<id>.json    one EnteredResult; written atomically, changed by writing it again

Nothing here computes: the numbers are what the user read on the leaderboard of a challenge, and stay labelled so.
"""

import math
import secrets
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vccapp.data.atomic import write_json
from vccapp.errors import SpecError, explain
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.seasons.opened import find_season, renamed
from vccapp.settings import Settings

RESULT = Format(
    "entered result",
    version=2,
    migrations={1: lambda fields: fields | {"season": renamed(fields["season"])}},
    fix="delete it and enter the result again",
)
"""Version 1 called the seasons 2025 and 2026."""


class EnteredResult(BaseModel):
    """One line of a challenge's leaderboard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")
    date: date
    season: str = Field(min_length=1, max_length=60)
    phase: str = Field("validation", min_length=1, max_length=60, description="Phases are judged on different cells.")
    scale: Literal["raw", "scaled"] = Field("raw", description="scaled: 0 the baseline, 1 a replicate.")
    scores: dict[str, float]
    note: str = Field("", max_length=500)
    run: str | None = Field(None, description="Id of the run that made the prediction.")
    submission: str | None = Field(None, description="Id of the submission.")
    rank: int | None = Field(None, ge=1, description="Place on the leaderboard at that time.")
    judged: dict[str, str] = Field({}, description="Panel and rule version; scores of others are not comparable.")
    entry: str = Field("", max_length=200, description="The organisers' id of the submission.")

    @field_validator("scores")
    @classmethod
    def _scores_are_numbers(cls, scores: dict[str, float]) -> dict[str, float]:
        if not scores or not all(map(math.isfinite, scores.values())):
            msg = "give at least one score, each a finite number"
            raise ValueError(msg)
        return scores


def make_result_id(day: date) -> str:
    """An id that no other result has, e.g. 20261121-a1b2c3."""
    return f"{day:%Y%m%d}-{secrets.token_hex(3)}"


def make_result(settings: Settings, **fields: Any) -> EnteredResult:
    """A checked result: its phase and scores are of its season. Raises SpecError naming the field that is wrong."""
    try:
        result = EnteredResult(**fields)
    except ValidationError as error:
        raise _refuse(explain(error)) from None
    season = find_season(result.season, settings)
    if result.phase not in (phases := [phase.name for phase in season.phases]):
        raise _refuse(f"{season.name} has no phase {result.phase}; it has {', '.join(phases)}")
    if unknown := set(result.scores) - set(season.judged):
        raise _refuse(f"{season.name} has no score {', '.join(sorted(unknown))}; it has {', '.join(season.judged)}")
    return result.model_copy(update={"season": season.name})


def _refuse(why: str) -> SpecError:
    return SpecError("bad_result", f"The result cannot be entered: {why}", fix="correct it")


def write_result(result: EnteredResult, settings: Settings) -> Path:
    """Save under its id; one with the same id is replaced."""
    path = _path(result.id, settings)
    write_json(path, RESULT.stamp(result.model_dump(mode="json", exclude_none=True)))
    return path


def load_result(result_id: str, settings: Settings) -> EnteredResult:
    """Raises SpecError when there is none of this id, DataError when its file cannot be read."""
    path = _path(result_id, settings)
    if not path.is_file():
        known = ", ".join(result.id for result in list_results(settings)) or "none yet"
        raise SpecError(
            "unknown_result",
            f"No result '{result_id}' was entered",
            fix=f"there are: {known}",
        )
    return _read(path)


def list_results(settings: Settings) -> Listing[EnteredResult]:
    """The newest first."""
    results = list_records(_folder(settings).glob("*.json"), _read)
    results.sort(key=lambda result: (result.date, result.id), reverse=True)
    return results


def delete_result(result_id: str, settings: Settings) -> None:
    """One that cannot be read too. Raises SpecError when there is none of this id."""
    path = _path(result_id, settings)
    if not path.is_file():
        load_result(result_id, settings)
    path.unlink()


def _folder(settings: Settings) -> Path:
    return settings.home / "entered"


def _path(result_id: str, settings: Settings) -> Path:
    if not result_id.replace("-", "").isalnum():
        raise SpecError(
            "bad_result_id",
            f"'{result_id}' is not the id of a result",
            fix="use letters, digits and '-'",
        )
    return _folder(settings) / f"{result_id}.json"


def _read(path: Path) -> EnteredResult:
    return read_record(path, RESULT, EnteredResult.model_validate)


def tabulate_results(results: Sequence[EnteredResult]) -> pd.DataFrame:
    """One row a result and score: row (a name that no other has), scale, metric, value."""
    names = [f"{r.season} {r.phase} · {r.date} · {r.note[:60] or r.id}" for r in results]
    rows = [
        {"row": name if names.count(name) == 1 else f"{name} · {result.id}", "scale": result.scale}
        | {"metric": metric, "value": value}
        for name, result in zip(names, results, strict=True)
        for metric, value in result.scores.items()
    ]
    return pd.DataFrame(rows, columns=["row", "scale", "metric", "value"])
