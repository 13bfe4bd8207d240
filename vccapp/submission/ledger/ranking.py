"""Official scores of the ledger in order, and the best over time; only what may be compared stands together.

    table = rank_submissions(ledger, metric="overall")      # rank within season, phase, scale and what was judged
    curve = trace_best(ledger, metric="overall")

Scores are comparable within one season, phase and scale, and within one panel and rule version where the judge says
which: those are COMPARABLE, and a rank or a best holds among their rows alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vccapp.errors import SpecError
from vccapp.evaluation.leaderboard.metric_names import OVERALL, best_of
from vccapp.submission.ledger.listing import Submission
from vccapp.training.results.entered import EnteredResult

COMPARABLE = ["season", "phase", "scale", "judged"]
RESULTS = ["submission", *COMPARABLE, "date", "official_rank", "metric", "value", "result"]
RANKED = [
    "rank",
    "submission",
    *COMPARABLE,
    "value",
    "official_rank",
    "date",
    "counts",
    "state",
    "runs",
    "sent",
    "tags",
]
BEST = [*COMPARABLE, "date", "submission", "value", "best"]


@dataclass(frozen=True)
class Ranking:
    """The ledger by one official score: RANKED, BEST over time, and every score."""

    ranked: pd.DataFrame
    best: pd.DataFrame
    scores: pd.DataFrame


def view_ranking(ledger: Sequence[Submission], *, metric: str = OVERALL) -> Ranking:
    """Raises SpecError for a score that no result has, where there are some."""
    if (known := list_metrics(ledger)) and metric not in known:
        raise SpecError("unknown_metric", f"No result has the score '{metric}'", fix=f"choose {', '.join(known)}")
    return Ranking(rank_submissions(ledger, metric=metric), trace_best(ledger, metric=metric), tabulate_scores(ledger))


def tabulate_scores(ledger: Iterable[Submission]) -> pd.DataFrame:
    """Every official score: RESULTS. Of several of one submission that are comparable, the newest alone."""
    rows = []
    for one in ledger:
        seen = set()
        for result in one.results:  # the newest first
            where = (result.season, result.phase, result.scale, judged_text(result))
            if where in seen:
                continue
            seen.add(where)
            named: dict[str, Any] = dict(zip(COMPARABLE, where, strict=True)) | {"submission": one.id}
            named |= {"date": result.date, "official_rank": result.rank, "result": result.id}
            rows += [named | {"metric": metric, "value": value} for metric, value in result.scores.items()]
    return pd.DataFrame(rows, columns=RESULTS).astype({"value": float, "official_rank": "Int64"})


def judged_text(result: EnteredResult) -> str:
    """Panel and rule version as the judge gave them; empty where it did not."""
    return ", ".join(f"{name} {value}" for name, value in sorted(result.judged.items()))


def list_metrics(ledger: Iterable[Submission]) -> list[str]:
    """Those that some result has, the overall score first."""
    known = dict.fromkeys(metric for one in ledger for result in one.results for metric in result.scores)
    return sorted(known, key=lambda name: (name != OVERALL, list(known).index(name)))


def rank_submissions(ledger: Sequence[Submission], *, metric: str = OVERALL) -> pd.DataFrame:
    """One row a submission and a place where it was scored, the best first; those without a score below.

    rank : among the rows that are comparable; counts : whether it is the last that was sent in its season and phase,
    which is the one that the organisers rank
    """
    scores = tabulate_scores(ledger)
    scores = scores[scores["metric"] == metric].copy()
    scores["rank"] = pd.Series(dtype="Int64")
    for _, group in scores.groupby(COMPARABLE, sort=False):
        high = best_of(metric, scaled=group["scale"].iloc[0] == "scaled") == "high"
        scores.loc[group.index, "rank"] = group["value"].rank(method="min", ascending=not high).astype("Int64")
    scores = scores.sort_values([*COMPARABLE, "rank"], kind="stable")
    last = find_counting(ledger)
    known = {one.id: one for one in ledger}
    rows = [
        row | _about(known[row["submission"]], row["season"], row["phase"], last) for row in scores.to_dict("records")
    ]
    ranked = set(scores["submission"])
    for one in ledger:
        if one.id not in ranked:
            season, phase = ("", "") if one.plan is None else (one.plan.season, _phase_of(one))
            rows.append({"submission": one.id, "season": season, "phase": phase} | _about(one, season, phase, last))
    table = pd.DataFrame(rows, columns=RANKED)
    text = [*COMPARABLE, "runs", "sent", "tags", "state"]
    return table.fillna(dict.fromkeys(text, "")).astype({"rank": "Int64", "official_rank": "Int64", "value": float})


def trace_best(ledger: Sequence[Submission], *, metric: str = OVERALL) -> pd.DataFrame:
    """BEST: each score in the order of time, and the best until then of those that are comparable."""
    scores = tabulate_scores(ledger)
    scores = scores[scores["metric"] == metric].sort_values([*COMPARABLE, "date", "result"], kind="stable")
    best = scores.groupby(COMPARABLE, sort=False)["value"]
    rising = [best_of(metric, scaled=scale == "scaled") == "high" for scale in scores["scale"]]
    scores["best"] = best.cummax().where(rising, best.cummin())
    return scores[BEST].reset_index(drop=True)


def find_counting(ledger: Iterable[Submission]) -> dict[tuple[str, str], str]:
    """By season and phase, the submission that was sent last: its score is the one that counts."""
    sent = [
        (one.when, one.report.season, one.phase or "", submission.id)
        for submission in ledger
        for one in submission.entry.sent
    ]
    return {(season, phase): id for _, season, phase, id in sorted(sent)}


def _phase_of(one: Submission) -> str:
    if one.last_sent is not None:
        return one.last_sent.phase or ""
    return "" if one.plan is None else one.plan.phase or ""


def _about(one: Submission, season: str, phase: str, last: dict[tuple[str, str], str]) -> dict[str, Any]:
    """What does not depend on the metric."""
    sent = one.last_sent
    return {
        "counts": last.get((season, phase)) == one.id,
        "state": one.state,
        "runs": "" if one.plan is None else ", ".join(one.plan.runs),
        "sent": "" if sent is None else f"{sent.when:%Y-%m-%d %H:%M}",
        "tags": " ".join(one.entry.tags),
    }
