"""Stored scores of runs: what a scorer said, with all that is needed to say it again.

    checkpoints/<run id>/scores/<scorer>-<part>.json       Score
    checkpoints/<run id>/scores/<scorer>-<part>.parquet    perturbation and one column a metric

The JSON is written last and removed first, so a score that is there is whole.
"""

import logging
import shlex
from datetime import datetime
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from vccapp.data.atomic import read_json, write_file, write_json
from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.evaluation.scorers.base import Scaled
from vccapp.settings import Settings
from vccapp.training.record import Part, RunRecord, list_runs

log = logging.getLogger("vccapp.scores")


class Score(BaseModel):
    """What a scorer said of one part of a run.

    scorer : its name, see `vccapp.evaluation.scorers`; version : its version
    settings : profile or preset, backend, seed, numbers of cells asked
    n_cells : predicted, real and control cells, the same controls on both sides
    means : of each metric over perturbations; baseline : the same of the scorer's own baseline, where it has one
    scaled : of the metrics that are scored and of their average: raw, and clipped as the judges do
    """

    model_config = ConfigDict(frozen=True)

    run: str
    scorer: str
    version: str
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
    path.unlink(missing_ok=True)
    with write_file(path.with_suffix(".parquet")) as beside:
        table.to_parquet(beside, index=False)
    write_json(path, score.model_dump(mode="json"))
    return path


def load_score(run: RunRecord, scorer: str, part: Part) -> tuple[Score, pd.DataFrame]:
    """A score and its table: perturbation, metrics. Raises SpecError when there is none, DataError when damaged."""
    path = _path(run, scorer, part)
    if not path.exists():
        raise SpecError(
            "no_score",
            f"The run {run.id} has no score of {scorer} on its {part} part",
            fix=f"`{shlex.join(official_command(run.id, part=part, scorer=scorer))}` makes it",
        )
    return _read(path), pd.read_parquet(path.with_suffix(".parquet"))


def list_scores(settings: Settings, *, dataset: str | None = None) -> list[Score]:
    """Scores of all runs (on a dataset), the newest first. Those that cannot be read are left out, with a warning."""
    scores = []
    for run in list_runs(settings):
        if dataset is None or run.spec.dataset == dataset:
            for path in (run.folder / "scores").glob("*.json"):
                try:
                    scores.append(_read(path))
                except VccAppError as error:
                    log.warning("%s", error)
    return sorted(scores, key=lambda score: score.created, reverse=True)


def _path(run: RunRecord, scorer: str, part: str) -> Path:
    return run.folder / "scores" / f"{scorer}-{part}.json"


def _read(path: Path) -> Score:
    try:
        return Score.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(
            "score_unreadable",
            f"{path} is not a score of this version ({error.error_count()} fields differ)",
            fix="score the run again",
        ) from None
