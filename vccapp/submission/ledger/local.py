"""Scores that were computed here, beside the official ones: of the file of a submission, and of its runs.

    table = tabulate_local(one, settings)             # scored, context, scorer, metric, value, by
    pair = compare_local(a, b, settings)              # LOCAL

A run's scores are of its own held-out perturbations; those of the file (`vccapp submit score`) are of what was
packaged, against other real cells. Two scores are subtracted where scorer, versions, settings and perturbations are the
same.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vccapp.errors import VccAppError
from vccapp.settings import Settings
from vccapp.submission.ledger.listing import Submission
from vccapp.submission.plan import Source
from vccapp.submission.scored import LocalScore, list_local_scores
from vccapp.training.results.board import load_board

LOCAL = ["scored", "context", "scorer", "metric", "a", "b", "difference", "by", "note"]
TABLE = ["scored", "context", "scorer", "metric", "value", "by"]
Where = tuple[str, str, str]
"""What was scored, context, scorer."""


@dataclass(frozen=True)
class Said:
    """What a scorer said. about : what must be the same in two that are compared: versions, settings, perturbations"""

    means: dict[str, float]
    about: dict[str, str]

    @property
    def by(self) -> str:
        """Versions and settings, for people."""
        return ", ".join(f"{name} {value}" for name, value in self.about.items() if name != "perturbations")


def tabulate_local(one: Submission, settings: Settings) -> pd.DataFrame:
    """TABLE: every stored score of the file and of the runs of a submission."""
    rows = [
        (*where, metric, value, said.by)
        for where, said in find_local(one, settings).items()
        for metric, value in said.means.items()
    ]
    return pd.DataFrame(rows, columns=TABLE)


def compare_local(a: Submission, b: Submission, settings: Settings) -> pd.DataFrame:
    """LOCAL: scores of both beside each other; `difference` is b - a, and `note` says why there is none."""
    left, right = find_local(a, settings), find_local(b, settings)
    rows: list[dict[str, Any]] = []
    for where in dict.fromkeys([*left, *right]):
        sides = left.get(where), right.get(where)
        note, known = _explain(*sides), [said for said in sides if said is not None]
        for metric in dict.fromkeys(metric for said in known for metric in said.means):
            pair = [None if said is None else said.means.get(metric) for said in sides]
            row: dict[str, Any] = dict(zip(("scored", "context", "scorer"), where, strict=True))
            row |= {"metric": metric, "a": pair[0], "b": pair[1], "by": known[0].by, "note": note}
            if not note and pair[0] is not None and pair[1] is not None:
                row["difference"] = pair[1] - pair[0]
            rows.append(row)
    return pd.DataFrame(rows, columns=LOCAL).astype(dict.fromkeys(("a", "b", "difference"), float))


def find_local(one: Submission, settings: Settings) -> dict[Where, Said]:
    """Of the file first; of several of one scorer against the same cells the newest."""
    found: dict[Where, Said] = {}
    package = one.package
    if package is not None:
        for score in sorted(list_local_scores(settings), key=lambda score: score.created, reverse=True):
            if score.sha256 in (package.sha256, package.h5ad_sha256):
                found.setdefault((f"file, against {score.real.name}", "", score.scorer), _of_file(score))
    if one.plan is not None:
        for context, source in one.plan.sources.items():
            found |= {(f"run, {part} part", context, scorer): said for part, scorer, said in _of_run(source, settings)}
    return found


def _of_file(score: LocalScore) -> Said:
    panels = {context: str(own.n_perturbations) for context, own in score.contexts.items()}
    about = {"rules": score.rules} | score.versions | dict(sorted(score.settings.items()))
    about |= {"real cells": str(score.real), "perturbations": json.dumps(panels)}
    return Said({name: value for name, value in score.means.items() if value is not None}, about)


def _of_run(source: Source, settings: Settings) -> Iterator[tuple[str, str, Said]]:
    """Part, scorer and what it said; nothing where the run is gone."""
    try:
        board = load_board(settings, runs=[source.run])
    except VccAppError:
        return
    for entry in board.entries.to_dict("records"):
        part, scorer = entry["part"], entry["scorer"]
        values = board.only(part=part, scorer=scorer).values.dropna(subset="value")
        about = {"version": entry["version"]} | dict(sorted(json.loads(entry["settings"]).items()))
        means = dict(zip(values["metric"], values["value"], strict=True))
        yield part, scorer, Said(means, about | {"perturbations": entry["panel"]})


def _explain(a: Said | None, b: Said | None) -> str:
    """Why two scores cannot be compared; empty where they can, or there is but one."""
    if a is None or b is None:
        return ""
    differing = [name for name in dict.fromkeys([*a.about, *b.about]) if a.about.get(name) != b.about.get(name)]
    return f"not comparable: other {', '.join(differing)}" if differing else ""
