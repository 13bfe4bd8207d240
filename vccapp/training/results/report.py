"""A report of scored runs: one HTML file that opens without a network and says how each of its numbers came to be.

write_report(["20261121-142233-state-a1b2", ...], Path("report.html"), settings, part="test")
"""

import platform
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd

import vccapp
from vccapp.data.atomic import write_file
from vccapp.data.commands import column_options, split_command
from vccapp.data.reading.ignored import COLUMN, explain_ignored
from vccapp.data.workspace import Record, list_datasets
from vccapp.errors import SpecError
from vccapp.evaluation.leaderboard.metric_names import best_of, label_metric
from vccapp.evaluation.leaderboard.metric_view import view_metric
from vccapp.evaluation.leaderboard.ranking import (
    describe_differences,
    explain_differences,
    group_seeds,
    name_groups,
    tabulate,
)
from vccapp.evaluation.scorers.base import is_official, label_scorer
from vccapp.evaluation.scorers.own import PSEUDOBULKS
from vccapp.figures.report import Section, render_report
from vccapp.figures.scores import difference_rows, leaderboard_dots, split_lines
from vccapp.figures.style import warn_above
from vccapp.models.base import is_trained
from vccapp.settings import Settings
from vccapp.training.record import Part, RunRecord, load_run
from vccapp.training.results.board import Board, load_board
from vccapp.training.results.entered import list_results
from vccapp.training.results.leaderboard import check_metrics, list_metrics
from vccapp.training.results.scores import official_command

TICKS = 600
"""Differences of single perturbations drawn in one figure; each is a piece of SVG."""
PACKAGES = ("numpy", "scipy", "pandas", "torch", "anndata")


def write_report(
    runs: Sequence[str],
    out: Path,
    settings: Settings,
    *,
    part: Part = "test",
    scorer: str = PSEUDOBULKS,
    reference: str | None = None,
    metrics: Sequence[str] | None = None,
) -> Path:
    """Write `make_report` to a file, atomically."""
    text = make_report(runs, settings, part=part, scorer=scorer, reference=reference, metrics=metrics, out=out)
    with write_file(out) as beside:
        beside.write_text(text, encoding="utf-8")
    return out


def make_report(
    runs: Sequence[str],
    settings: Settings,
    *,
    part: Part = "test",
    scorer: str = PSEUDOBULKS,
    reference: str | None = None,
    metrics: Sequence[str] | None = None,
    out: Path | str = "report.html",
) -> str:
    """HTML of what `scorer` says of a part of these runs, compared with the run `reference` (None: the first).

    metrics : those to show, the first ranks the rows; None takes all
    Raises SpecError for an unknown run or metric, and when the scorer has not scored this part of one of the runs.
    """
    board = load_board(settings, runs=runs).only(part=part, scorer=scorer)
    known = board.entries["run"].tolist()
    if not known and not runs:
        raise SpecError(
            "no_scores",
            f"No run has scores of {scorer} on its {part} part",
            fix="train one first with `vccapp train start`",
        )
    missing = [run for run in (*runs, *([reference] if reference else [])) if run not in known]
    if missing:
        raise SpecError(
            "not_scored",
            f"{scorer} has not scored the {part} part of {', '.join(missing[:3])}",
            fix="leave it out, choose another part or scorer, or score it first with `vccapp eval official`",
        )
    board = replace(board, entries=group_seeds(board.entries))
    groups = board.entries.set_index("run")["group"]
    # The same model and seed trained twice counts once, so the run named may not be the one that stands.
    own = groups.get(reference or runs[0], groups.iloc[0])
    records = [load_run(run, settings) for run in board.entries["run"]]
    used = {run.spec.dataset for run in records}
    data = [record for record in list_datasets(settings) if record.fingerprint in used]
    simulated = " · SIMULATED cells, not measured" if any(record.simulated for record in data) else ""
    shown = check_metrics(list_metrics(board), metrics)
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return render_report(
        f"Scores on the {part} part, {label_scorer(scorer)}",
        f"{len(groups)} runs · made {now} by vccapp {vccapp.__version__}{simulated}",
        [
            _leaderboard(board, shown, reference=own, scorer=scorer),
            *(_metric(board, metric, reference=own) for metric in shown),
            *_entered(settings, runs),
            _origin(board, records, data),
            _commands(
                records,
                data,
                report_command(runs, part=part, scorer=scorer, reference=reference, metrics=metrics, out=out),
                part=part,
                scorer=scorer,
            ),
        ],
        alert=f"{explain_ignored(ignored)}." if (ignored := board.context_ignored) else "",
    )


def report_command(
    runs: Sequence[str],
    *,
    part: Part,
    scorer: str,
    reference: str | None,
    metrics: Sequence[str] | None = None,
    out: Path | str = "report.html",
) -> list[str]:
    """`vccapp eval report` of these choices."""
    words = ["vccapp", "eval", "report", *runs, "--part", part, "--scorer", scorer]
    words += ["--reference", reference] if reference else []
    words += [word for name in metrics or () for word in ("--metric", name)]
    return [*words, "--out", str(out)]


def _leaderboard(board: Board, metrics: list[str], *, reference: str, scorer: str) -> Section:
    frames = board.entries, board.values, board.marks
    names, why = name_groups(board.entries), explain_differences(board.entries, reference)
    ends = {name: best_of(name) for name in metrics}
    tables = [tabulate(*frames, metrics=ends, reference=reference, scaled=False)]
    text = "Mean over perturbations and seeds, ± the spread over seeds. "
    if scorer == PSEUDOBULKS:
        tables.append(tabulate(*frames, metrics=ends, reference=reference, scaled=True))
        text += (
            "Our own computation on predicted pseudobulks, not an official score. The second table is scaled: "
            "0 is the mean of the training perturbations, 1 one half of the real cells against the other, so "
            "at half their depth; where that is not better than 0, nothing is scaled. "
        )
    elif is_official(scorer):
        text += "As computed by the official scorer. "
    text += "PDS depends on n, the number of perturbations compared."
    warning = describe_differences(why, names[reference])
    return Section(
        "Leaderboard", text, warnings=[warning] if warning else [], tables=[_headed(table, metrics) for table in tables]
    )


def _metric(board: Board, metric: str, *, reference: str) -> Section:
    view = view_metric(board.entries, board.values, board.marks, board.tables, metric=metric, reference=reference)
    label, best = label_metric(metric), best_of(metric)
    n = len(view.table)
    note = f"{'more' if best == 'high' else 'less'} is better; n = {n} perturbations; ticks: single runs"
    dots = leaderboard_dots(view.groups, view.runs, view.marks, label=label, note=note)
    charts = [(dots, f"{label} of {len(view.groups)} rows")]
    tables = []
    if len(view.differences):
        own = name_groups(board.entries)[reference]
        pairs = view.pairs if len(view.pairs) <= TICKS else view.pairs.iloc[:: -(-len(view.pairs) // TICKS)]
        drawn = difference_rows(view.differences, pairs, best=best, reference=own, label=label)
        charts.append((drawn, f"Differences in {label} from {own}, with 95 % intervals"))
        tables.append(view.differences.rename(columns={"label": "row", "p_holm": "p (Holm)"}))
    if view.splits["split"].nunique() > 1:
        charts.append((split_lines(view.splits, label=label), f"{label} on each split"))
    folded = {f"Each perturbation, {label}": view.table} if n else {}
    if context := board.context_ignored:
        charts = [(warn_above(chart, f"The context ({context}) is ignored"), text) for chart, text in charts]
    return Section(label, charts=charts, tables=tables, folded=folded)


def _entered(settings: Settings, runs: Sequence[str]) -> list[Section]:
    rows = [
        result.model_dump(include={"date", "season", "phase", "scale"}) | result.scores | {"note": result.note}
        for result in list_results(settings)
        if result.run in runs
    ]
    if not rows:
        return []
    text = "Scores of submissions of these runs on the official leaderboard; entered by hand, not computed here."
    return [Section("Official results, entered by hand", text, tables=[pd.DataFrame(rows)])]


def _origin(board: Board, records: list[RunRecord], data: list[Record]) -> Section:
    """Data, splits, runs and versions."""
    sources = pd.DataFrame(
        [
            {"data": record.title, "fingerprint": record.fingerprint, "cells": record.schema.n_cells}
            | {"genes": record.schema.n_genes, "perturbations": record.schema.n_perturbations}
            | {"origin": "simulated" if record.simulated else "measured"}
            | ({COLUMN: record.schema.context_ignored} if board.context_ignored else {})
            for record in data
        ]
    )
    columns = ["run", "title", "model", "params", "seed", "created", "split", "split_key", "panel", "n_perturbations"]
    runs = board.entries[[*columns, "scorer", "version", "settings"]]
    runs = runs.assign(created=runs["created"].map("{:%Y-%m-%d %H:%M}".format)).rename(
        columns={"split_key": "split fingerprint", "panel": "fingerprint of the perturbations", "n_perturbations": "n"}
    )
    versions = {"vccapp": vccapp.__version__, "python": platform.python_version()}
    versions |= {name: version(name) for name in PACKAGES}
    lists = {
        f"Split {run.split.name}": pd.DataFrame(
            [(name, ", ".join(getattr(run.split, name))) for name in ("train", "val", "test")],
            columns=["part", "perturbations"],
        )
        for run in records
    }
    table = pd.DataFrame(versions.items(), columns=["program", "version"])
    return Section("Data, splits and versions", tables=[sources, runs, table], folded=lists)


def _commands(records: list[RunRecord], data: list[Record], last: list[str], *, part: Part, scorer: str) -> Section:
    made = [["vccapp", "data", "index", *map(str, record.paths), *column_options(record.columns)] for record in data]
    made += [split_command(split) for split in {run.split.name: run.split for run in records}.values()]
    made += [run.spec.command() for run in records if is_trained(run.spec.model)]
    if scorer != PSEUDOBULKS:
        made += [official_command(run.id, part=part, scorer=scorer) for run in records]
    text = "Training again creates runs with new ids. Imported and calibrated predictions were not trained here."
    return Section("How to reproduce this", text, commands=[shlex.join(words) for words in (*made, last)])


def _headed(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The leaderboard under the names that people read."""
    prefixes = {"": "", " sd": "± ", " n": "n of "}
    heads = {name + end: prefix + label_metric(name) for name in metrics for end, prefix in prefixes.items()}
    heads |= {"n_perturbations": "n"}
    shown = table.drop(columns=["group", "model", "params"])
    return shown.astype(dict.fromkeys(("rank", "seeds", "n_perturbations"), "Int64")).rename(columns=heads)
