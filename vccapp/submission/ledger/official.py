"""The JSON that the organisers' tool prints of a submission (vcc-cli 0.3.0), read as an official result.

    found = read_official(path)        # of `vcc status ID --json > FILE`, or `vcc submit FILE --wait --json > FILE`
    found.scores["overall"], found.rank, found.judged

Both commands print one object; that of `submit` has its scores in a part of their own. The scores are the scaled ones
(0: the baseline, 1: a replicate); the raw ones have no fixed names there.
"""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vccapp.errors import DataError
from vccapp.textfiles import read_bytes

SCORES = {
    "score_avg": "overall",
    "score_pds": "pds_cosine",
    "score_mse": "mse_capped",
    "score_nmae": "lfc_nmae",
    "score_fid": "direction_fidelity",
    "score_reach": "direction_reach",
    "score_jac": "jaccard",
    "de_score": "des",
    "pert_score": "pds",
    "mae_score": "mae",
}
"""Its names, and ours of the same; the last three are of 2025."""
STAMP = ("partition", "panel_id", "anchor_version")
"""What a score is of: others are not comparable."""
MAX_BYTES = 2**20
FIX = "save what `vcc status ID --json` prints"


class Official(BaseModel):
    """What the tool said. final : whether it counts in the final phase, None where it does not say"""

    model_config = ConfigDict(frozen=True)

    entry: str
    status: str
    final: bool | None
    day: date | None
    scores: dict[str, float]
    rank: int | None
    judged: dict[str, str]


def read_official(path: Path) -> Official:
    """Raises DataError for a file that cannot be read, and as `parse_official` does."""
    return parse_official(read_bytes(path, limit=MAX_BYTES), path.name)


def parse_official(content: bytes | str, name: str) -> Official:
    """Raises DataError for what is none of the tool's, an error of it, or a submission without scores yet."""
    try:
        saved = json.loads(content)
    except (ValueError, RecursionError):
        raise DataError("not_official", f"{name} is not JSON", fix=FIX) from None
    if not isinstance(saved, dict):
        raise DataError("not_official", f"{name} holds a {type(saved).__name__}, not one submission", fix=FIX)
    if "error" in saved and "entry_id" not in saved:
        raise DataError("official_error", f"{name} is an error of the official tool, not a result", fix=FIX)
    within = saved.get("scores")  # of `submit`
    found = saved | within if isinstance(within, dict) else saved
    status = _text(saved.get("status") or saved.get("final_status"))
    scores = {ours: value for name, ours in SCORES.items() if (value := _number(found.get(name))) is not None}
    if not scores:
        told = f" (its state is {status})" if status else ""
        raise DataError(
            "no_official_scores",
            f"{name} has no scores{told}",
            found=status,
            fix="wait until it is scored: vcc status ID --wait --json",
        )
    rank, final = found.get("rank"), saved.get("is_final")
    return Official(
        entry=_text(saved.get("entry_id")),
        status=status,
        final=final if isinstance(final, bool) else None,
        day=_day(saved.get("submission_date")),
        scores=scores,
        rank=rank if type(rank) is int and rank > 0 else None,
        judged={name: _text(found[name]) for name in STAMP if found.get(name) not in (None, "")},
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and type(value) is not bool and math.isfinite(value) else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:200]


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
