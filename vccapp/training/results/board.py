"""What the leaderboard is made of: every stored score of every finished run, as the frames of `evaluation.leaderboard`.

    board = load_board(settings, dataset=fingerprint).only(part="test", scorer="pseudobulks")
    board.tables["20261121-142233-state-a1b2"]      # perturbation and one column a metric

Nothing is computed here. Runs have our own scores from the end of their training; those of the official scorers exist
where somebody asked for them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pandas as pd

from vccapp.data.reading.ignored import name_ignored
from vccapp.data.workspace import find_ignored
from vccapp.errors import DataError
from vccapp.evaluation.limits import drop_untold
from vccapp.evaluation.scorers.base import is_official
from vccapp.evaluation.scorers.own import PSEUDOBULKS
from vccapp.models.base import label_model
from vccapp.records import Listing, Unreadable
from vccapp.references import NAMES, OFFICIAL_BASELINE
from vccapp.settings import Settings
from vccapp.training.record import Part, RunRecord, list_runs, load_run
from vccapp.training.results.own_scores import load_references
from vccapp.training.results.scores import Score, keep_context, load_score, read_scores

PARTS: tuple[Part, ...] = ("test", "val")
"""The part that models are judged by first."""
WHERE = ["run", "part", "scorer"]
ENTRY = [
    *("title", "model", "label", "params", "seed", "created", "dataset", "split", "split_key", "version", "definition"),
    *("settings", "panel", "n_perturbations"),
]


@dataclass(frozen=True)
class Board:
    """Frames of `vccapp.evaluation.leaderboard.ranking`: entries, values, marks; all also by part and scorer.

    values and marks also by scale: raw, and of official scores scaled and clipped
    stored : the scores of each perturbation, by run, part and scorer
    ignored : by dataset, the context that the user ignored, of those where there is one
    unreadable : runs and scores that would be on the board
    """

    entries: pd.DataFrame
    values: pd.DataFrame
    marks: pd.DataFrame
    stored: dict[tuple[str, ...], pd.DataFrame]
    unreadable: tuple[Unreadable, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)

    @property
    def context_ignored(self) -> str | None:
        """That of the data of any of the entries."""
        return name_ignored(map(self.ignored.get, self.entries["dataset"]))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """By run, of a board of one part and scorer."""
        return {run: self.stored[run, *where] for run, *where in self.entries[WHERE].itertuples(index=False)}

    def only(self, *, scale: str = "raw", **wanted: str) -> Self:
        """The rows of one part, scorer and scale."""

        def keep(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
            for name, value in names.items():
                frame = frame[frame[name] == value]
            return frame.reset_index(drop=True)

        scaled = wanted | {"scale": scale}
        entries, values, marks = keep(self.entries, wanted), keep(self.values, scaled), keep(self.marks, scaled)
        return replace(self, entries=entries, values=values, marks=marks)


def load_board(
    settings: Settings, *, dataset: str | None = None, runs: Sequence[str] | None = None, context: str | None = None
) -> Board:
    """Scores of the finished runs, of those on a dataset, or of the runs named. Raises SpecError for an unknown run.

    context : only of its perturbations; means are then over these, and there are no scaled values
    """
    chosen = list_runs(settings) if runs is None else Listing(load_run(run, settings) for run in runs)
    finished = [run for run in chosen if run.state == "finished"]
    known = {run.id: run for run in finished if dataset in (None, run.spec.dataset)}
    scores = read_scores(list(known.values()))
    entries, values, marks, unreadable = [], [], [], [*chosen.unreadable, *scores.unreadable]
    stored: dict[tuple[str, ...], pd.DataFrame] = {}
    for score in scores:
        if (run := known.get(score.run)) is None:  # the folder was copied from another run
            continue
        where = (score.run, score.part, score.scorer)
        try:
            table = keep_context(load_score(run, score.scorer, score.part)[1], context)
            references = {} if context is None else load_references(run, score.part)
        except DataError as error:
            unreadable.append(Unreadable(run.folder, error))
            continue
        if context is not None:
            if table.empty:
                continue
            score = score.model_copy(update={"means": _means(table), "scaled": {}, "n_perturbations": len(table)})
            references = drop_untold({name: _means(keep_context(own, context)) for name, own in references.items()})
        stored[where] = table
        entries.append([*where, *_entry(run, score, stored[where]["perturbation"])])
        values += [(*where, *value) for value in _values(score)]
        known_marks = run.metrics.get(score.part, {}) if context is None else references
        marks += [(*where, "raw", *mark) for mark in _marks(known_marks, score, official=context is None)]
    return Board(
        pd.DataFrame(entries, columns=[*WHERE, *ENTRY]),
        pd.DataFrame(values, columns=[*WHERE, "scale", "metric", "value"]).astype({"value": float}),
        pd.DataFrame(marks, columns=[*WHERE, "scale", "name", "metric", "value"]).astype({"value": float}),
        stored,
        tuple(unreadable),
        {name: context for name in {run.spec.dataset for run in finished} if (context := find_ignored(name, settings))},
    )


def fingerprint_of(value: Any) -> str:
    """A short name for a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _entry(run: RunRecord, score: Score, perturbations: pd.Series) -> list[Any]:
    """The fields of ENTRY."""
    spec = run.spec
    split = {name: sorted(getattr(run.split, name)) for name in ("train", "val", "test")}
    return [
        *(run.title, spec.model, _label(run), json.dumps(spec.params, sort_keys=True), spec.seed),
        *(run.created, spec.dataset, run.split.name, fingerprint_of(split), score.scorer_version),
        score.scorer_version if is_official(score.scorer) else "",
        *(json.dumps(score.settings, sort_keys=True), fingerprint_of(sorted(perturbations)), score.n_perturbations),
    ]


def _label(run: RunRecord) -> str:
    """What the model is called; of a network that adds nothing, with the name of its baseline; and of one that tells
    no perturbation from others, that it does not.
    """
    label = label_model(run.spec.model)
    if run.made is not None and run.made.is_baseline:
        return f"{label} = {label_model(run.made.baseline)}"
    return f"{label} (one effect for all)" if run.same else label


def _values(score: Score) -> Iterator[tuple[str, str, float | None]]:
    """Scale, metric and value."""
    for metric, value in score.means.items():
        yield "raw", metric, value
    for metric, scaled in score.scaled.items():
        yield "scaled", metric, scaled.raw
        yield "clipped", metric, scaled.clipped


def _means(table: pd.DataFrame) -> dict[str, float | None]:
    """Of each metric over the perturbations that have it."""
    means = table.drop(columns=["perturbation", "n_degs"], errors="ignore").mean(numeric_only=True)
    return {str(name): float(value) if pd.notna(value) else None for name, value in means.items()}


def _marks(
    references: Mapping[str, Mapping[str, float | None]], score: Score, *, official: bool
) -> Iterator[tuple[str, str, float | None]]:
    """Name, metric and value of floors and limits. official : whether the scorer's own baseline is of these."""
    if official and is_official(score.scorer):
        for metric, value in score.baseline.items():
            yield OFFICIAL_BASELINE, metric, value
    if score.scorer != PSEUDOBULKS:
        return
    for who, name in NAMES.items():
        for metric, value in references.get(who, {}).items():
            yield name, metric, value
