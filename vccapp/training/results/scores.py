"""Stored scores of runs: what a scorer said, with all that is needed to say it again.

    checkpoints/<run id>/scores/<scorer>-<part>.json       Score
    checkpoints/<run id>/scores/<scorer>-<part>.parquet    perturbation and one column a metric

The JSON is written last and removed first, so a score that is there is whole.
"""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import write_file, write_json
from vccapp.data.lock import hold_lock
from vccapp.data.schema import context_of
from vccapp.errors import SpecError
from vccapp.evaluation.scorers.base import Scaled
from vccapp.records import Format, Listing, list_records, read_record, undamaged
from vccapp.seasons.opened import renamed
from vccapp.settings import Settings
from vccapp.training.record import Part, RunRecord, list_runs


def _name_version(fields: dict[str, Any]) -> dict[str, Any]:
    """Of version 1 `version` was that of the scorer."""
    return {"scorer_version" if name == "version" else name: value for name, value in fields.items()}


def _name_season(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 2 called the seasons 2025 and 2026."""
    said = fields["settings"]
    return fields | {"settings": said | {"season": renamed(said["season"])}} if "season" in said else fields


SCORE = Format("score", 3, {1: _name_version, 2: _name_season}, fix="score the run again")


class Score(BaseModel):
    """What a scorer said of one part of a run.

    scorer : its name, see `vccapp.evaluation.scorers`; scorer_version : its version
    settings : profile or preset, backend, seed, numbers of cells asked
    n_cells : predicted, real and control cells, the same controls on both sides
    means : of each metric over perturbations; baseline : the same of the scorer's own baseline, where it has one
    scaled : of the metrics that are scored and of their average: raw, and clipped as the judges do
    """

    model_config = ConfigDict(frozen=True)

    run: str
    scorer: str
    scorer_version: str
    settings: dict[str, str]
    part: Part
    created: datetime
    n_perturbations: int
    n_cells: dict[str, int]
    seconds: float
    means: dict[str, float | None]
    baseline: dict[str, float | None] = {}
    scaled: dict[str, Scaled] = {}


def official_command(run_id: str, *, part: Part, scorer: str) -> list[str]:
    """`vccapp eval official` of a run, word by word."""
    return ["vccapp", "eval", "official", "--run", run_id, "--part", part, "--scorer", scorer]


def write_score(run: RunRecord, score: Score, table: pd.DataFrame) -> Path:
    """Store a score and its table (perturbation, metrics); an earlier one of the same scorer and part is replaced."""
    path = _path(run, score.scorer, score.part)
    with hold_lock(path.with_name(f".{path.stem}.lock")):
        path.unlink(missing_ok=True)
        with write_file(path.with_suffix(".parquet")) as beside:
            table.to_parquet(beside, index=False)
        write_json(path, SCORE.stamp(score.model_dump(mode="json")))
    return path


def load_score(run: RunRecord, scorer: str, part: Part) -> tuple[Score, pd.DataFrame]:
    """A score and its table: perturbation, metrics. Raises SpecError when there is none, DataError when damaged."""
    path = _path(run, scorer, part)
    if not path.exists():
        raise SpecError(
            "no_score",
            f"The run {run.id} has no score of {scorer} on its {part} part",
            fix=f"`{shlex.join(official_command(run.id, part=part, scorer=scorer))}` creates it",
        )
    score = _read(path)
    with undamaged(path.with_suffix(".parquet"), fix=SCORE.fix):
        return score, pd.read_parquet(path.with_suffix(".parquet"))


def list_scores(settings: Settings, *, dataset: str | None = None) -> Listing[Score]:
    """Scores of all runs (on a dataset), the newest first. Unreadable are scores, and runs, which may have some."""
    runs = list_runs(settings)
    scores = read_scores([run for run in runs if dataset in (None, run.spec.dataset)])
    return Listing(scores, [*runs.unreadable, *scores.unreadable])


def read_scores(runs: Sequence[RunRecord]) -> Listing[Score]:
    """All that is stored of these runs, the newest first."""
    scores = list_records((path for run in runs for path in (run.folder / "scores").glob("*.json")), _read)
    scores.sort(key=lambda score: score.created, reverse=True)
    return scores


def keep_context(table: pd.DataFrame, context: str | None) -> pd.DataFrame:
    """Scores of perturbations of one context, within which they were computed; None: all."""
    if context is None:
        return table
    return table[[context_of(label) == context for label in table["perturbation"]]].reset_index(drop=True)


def _path(run: RunRecord, scorer: str, part: str) -> Path:
    return run.folder / "scores" / f"{scorer}-{part}.json"


def _read(path: Path) -> Score:
    return read_record(path, SCORE, Score.model_validate)
