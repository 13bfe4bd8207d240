"""Runs of a model on the folds of a split as one row: every perturbation predicted once, all of them scored together.

    board = pool_folds(load_board(settings, dataset=fingerprint), settings)
    rows = choose_rows(board, RowChoice(per="folds"))

Predictions are pooled before they are scored, since PDS ranks among all perturbations and not among those of a fold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from vccapp.data.schema import context_of, positions_of
from vccapp.errors import SpecError
from vccapp.evaluation.comparison.prediction import fit_baseline
from vccapp.evaluation.limits import compute_limits, drop_untold
from vccapp.evaluation.scorers.own import PSEUDOBULKS
from vccapp.evaluation.scoring.score import summarise
from vccapp.references import FLOORS, NAMES
from vccapp.settings import Settings
from vccapp.stats.index import Index, load_index
from vccapp.training.record import Part, RunRecord, load_run
from vccapp.training.results.board import WHERE, Board, fingerprint_of
from vccapp.training.results.own_scores import compute_own_scores

POOLED_PART: Part = "test"
METHOD, SEPARATOR = "kfold", "-fold"
"""How splits that are folds of one are made and named (`vccapp.data.splits.split.make_folds`)."""


def pool_folds(board: Board, settings: Settings, *, context: str | None = None) -> Board:
    """The board of the models that have runs on two folds or more: a row each and seed, under the newest run's id.

    context : only of its perturbations. Of our own scores of pseudobulks, on the test part. Of a perturbation that is
    tested twice the newest run counts. Raises SpecError where there are no such runs.
    """
    whole = board.only(part=POOLED_PART, scorer=PSEUDOBULKS)
    pools = [pool for pool in _find_pools(whole.entries, settings) if len(pool) > 1]
    if not pools:
        raise SpecError(
            "no_folds",
            "No model has runs on several folds of a split",
            fix="make folds (vccapp split make --folds 5), and train a model on each of them",
        )
    entries, values, marks = [], [], []
    stored: dict[tuple[str, ...], pd.DataFrame] = {}
    indexes = {name: load_index(settings.index_of(name)) for name in {pool[0].spec.dataset for pool in pools}}
    known: dict[tuple[str, ...], list[tuple[str, str, float | None]]] = {}
    for pool in pools:
        newest, index = pool[0], indexes[pool[0].spec.dataset]
        table = _score(index, pool, context)
        if table.empty:
            continue
        where = (newest.id, POOLED_PART, PSEUDOBULKS)
        own = whole.entries[whole.entries["run"] == newest.id].iloc[0].to_dict()
        own |= {"split": f"{_family(newest)} ({len(pool)} folds)", "split_key": METHOD, "title": ""}
        own |= {"panel": fingerprint_of(sorted(table["perturbation"])), "n_perturbations": len(table)}
        entries.append(own)
        stored[where] = table
        values += [(*where, "raw", *value) for value in summarise(table).items()]
        key = (newest.spec.dataset, *sorted(run.split.model_dump_json() for run in pool))
        if key not in known:
            known[key] = list(_score_references(index, pool, list(table["perturbation"])))
        marks += [(*where, "raw", *mark) for mark in known[key]]
    return replace(
        board,
        entries=pd.DataFrame(entries, columns=board.entries.columns),
        values=pd.DataFrame(values, columns=[*WHERE, "scale", "metric", "value"]).astype({"value": float}),
        marks=pd.DataFrame(marks, columns=[*WHERE, "scale", "name", "metric", "value"]).astype({"value": float}),
        stored=stored,
    )


def _family(run: RunRecord) -> str:
    return run.split.name.rpartition(SEPARATOR)[0]


def _find_pools(entries: pd.DataFrame, settings: Settings) -> Iterator[list[RunRecord]]:
    """Runs of one model, parameters and seed on folds of one name that test different perturbations, newest first."""
    runs = {name: load_run(name, settings) for name in entries["run"]}
    folds = entries[[runs[name].split.method == METHOD for name in entries["run"]]]
    folds = folds.assign(family=[_family(runs[name]) for name in folds["run"]])
    ordered = folds.sort_values(["created", "run"], ascending=False, kind="stable")
    for _, own in ordered.groupby(["dataset", "model", "params", "seed", "family"], sort=False):
        pool, tested = [], set[str]()
        for run in map(runs.__getitem__, own["run"]):
            if tested.isdisjoint(run.split.test):
                pool.append(run)
                tested |= set(run.split.test)
        yield pool


def _score(index: Index, pool: Sequence[RunRecord], context: str | None) -> pd.DataFrame:
    """`compute_metrics` of what the runs of a pool predict."""
    found = [run.prediction(POOLED_PART) for run in pool]
    labels = [label for own, _ in found for label in own]
    deltas = np.concatenate([deltas for _, deltas in found])
    kept = sorted(label for label in labels if context is None or context_of(label) == context)
    row = positions_of(labels)
    return compute_own_scores(index, kept, deltas[[row[label] for label in kept]]) if kept else pd.DataFrame()


def _score_references(
    index: Index, pool: Sequence[RunRecord], labels: Sequence[str]
) -> Iterator[tuple[str, str, float | None]]:
    """Name, metric and mean of floors, pooled as the runs are, and of limits."""
    row, tables = positions_of(labels), compute_limits(index, labels)
    for floor in FLOORS:
        deltas = np.empty((len(labels), len(index.genes)), np.float32)
        for run in pool:
            if own := [label for label in run.split.test if label in row]:
                deltas[[row[label] for label in own]] = fit_baseline(index, run.split, model=floor, labels=own).deltas
        tables[floor] = compute_own_scores(index, labels, deltas)
    means = drop_untold({name: summarise(table) for name, table in tables.items()})
    for who, name in NAMES.items():
        for metric, value in means[who].items():
            yield name, metric, value
