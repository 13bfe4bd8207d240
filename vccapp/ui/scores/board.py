"""The leaderboard on a page: which rows, one table of all metrics, one metric in figures."""

import shlex
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.data.workspace import Record
from vccapp.errors import SpecError
from vccapp.evaluation.leaderboard.metric_names import best_of, label_metric
from vccapp.evaluation.leaderboard.metric_view import MetricView
from vccapp.evaluation.leaderboard.ranking import describe_differences
from vccapp.evaluation.scorers.base import label_scorer, order_scorers
from vccapp.figures import scores as figures
from vccapp.training import RunRecord
from vccapp.training.record import Part
from vccapp.training.results.board import PARTS, Board
from vccapp.training.results.board import load_board as read_board
from vccapp.training.results.entered import list_results
from vccapp.training.results.leaderboard import RowChoice, Rows, choose_rows, scales_of
from vccapp.training.results.pooled import pool_folds
from vccapp.training.runs.notes import find_pinned
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.forms import choose_one, named
from vccapp.ui.kit.loaders import cached, current_settings
from vccapp.ui.kit.runs import load_runs
from vccapp.ui.kit.show import show_chart, show_table, show_unreadable
from vccapp.wording import plain

ROWS = {"models": "Models, over seeds", "folds": "Models, folds pooled", "runs": "Single runs"}


@dataclass(frozen=True)
class Chosen:
    """The rows looked at. runs : those that may stand on the board; metrics : columns, the first ranks the rows.

    drawn : the first of them that is drawn, raw
    """

    record: Record
    runs: tuple[RunRecord, ...]
    rows: Rows
    metrics: tuple[str, ...]
    drawn: str
    reference: str

    @property
    def part(self) -> Part:
        return self.rows.choice.part


@cached(max_entries=8)
def load_board(runs: tuple[RunRecord, ...], context: str | None) -> Board:
    """The stored scores of runs on one dataset."""
    dataset = runs[0].spec.dataset if runs else None
    return read_board(current_settings(), dataset=dataset, runs=[run.id for run in runs], context=context)


@cached(max_entries=8)
def load_pooled(runs: tuple[RunRecord, ...], context: str | None) -> Board:
    """The same with all folds of a split scored together, see `pool_folds`."""
    return pool_folds(load_board(runs, context), current_settings(), context=context)


@cached(max_entries=64)
def load_metric_view(
    runs: tuple[RunRecord, ...], choice: RowChoice, metric: str, reference: str, context: str | None
) -> MetricView:
    """Frames of one metric of the rows chosen."""
    return choose_rows(_board_of(runs, context, choice.per), choice).view(metric, reference)


def _board_of(runs: tuple[RunRecord, ...], context: str | None, per: str) -> Board:
    return load_pooled(runs, context) if per == "folds" else load_board(runs, context)


def choose_board(record: Record) -> Chosen | None:
    """Part, scorer, filters, metrics and reference; None, said on the page, where nothing is scored or left."""
    listed = load_runs(record)
    runs = tuple(listed)
    every = load_board(runs, current_context())
    results = list_results(current_settings())
    show_unreadable([*listed.unreadable, *every.unreadable, *results.unreadable])
    if every.entries.empty:
        st.info(
            f"No run on {plain(record.title)} has been scored yet. "
            "Train a model first; the mean baseline trains in seconds."
        )
        return None
    row = st.container(horizontal=True, key="scores_choices")  # wraps where the window is narrow
    part = choose_one("Part", PARTS, key="scores_part", place=row)
    scorers = order_scorers(every.entries["scorer"])
    scorer = choose_one("Scorer", {name: label_scorer(name) for name in scorers}, key="scores_scorer", place=row)
    scales = scales_of(scorer)
    scale = choose_one(
        "Values",
        list(scales),
        key=f"scores_scale_{scorer}",
        default="raw",
        place=row,
        help=" · ".join(f"{name}: {meaning}" for name, meaning in scales.items()),
    )
    per = choose_one("Rows", ROWS, key="scores_rows", default="models", place=row)
    try:
        board = _board_of(runs, current_context(), per)
    except SpecError as error:
        st.info(plain(str(error)))
        return None
    entries = board.only(part=part, scorer=scorer).entries
    first, second, third = st.columns(3)
    models, splits = (
        tuple(
            place.multiselect(
                title,
                sorted(entries[name].unique()),
                key=f"scores_{name}s",
                bind="query-params",
                wrap=True,
                placeholder="all",
            )
        )
        for place, title, name in ((first, "Models", "model"), (second, "Splits", "split"))
    )
    text = third.text_input("Search", key="scores_search", bind="query-params", placeholder="Title, parameters or id")
    choice = RowChoice(
        part=part, scorer=scorer, scale=scale, per=per, models=models, splits=splits, text=(text or "").strip()
    )
    try:
        rows = choose_rows(board, choice)
    except SpecError as error:
        st.info(plain(str(error)))
        return None
    if rows.entries.empty:
        st.info(
            f"No run scored by {plain(label_scorer(scorer))} on the {plain(part)} part matches; remove some filters."
        )
        return None
    left, right = st.columns([2, 1])
    metrics = left.multiselect(
        "Metrics",
        rows.metrics,
        default=rows.first_metrics,
        key=f"scores_metrics_{scorer}_{scale}",
        bind="query-params",
        wrap=True,
        format_func=label_metric,
        help="Rows are ranked by the first, which is drawn below.",
    )
    names = rows.names.sort_values().to_dict()
    groups = list(names)
    pinned = find_pinned(runs, record.fingerprint)
    own = [] if pinned is None else rows.entries.loc[rows.entries["run"] == pinned.id, "group"].tolist()
    reference = right.selectbox(
        "Compared with",
        groups,
        index=groups.index(own[0] if own else rows.default_reference),
        key="scores_reference",
        bind="query-params",
        format_func=named(names),
    )
    chosen = metrics or rows.metrics[:1]
    return Chosen(record, runs, rows, tuple(chosen), rows.drawn(chosen), reference)


def show_leaderboard(chosen: Chosen) -> pd.DataFrame:
    """The table of all rows, and what cannot be compared. The newest run of a row chosen is noted as `scores_open`."""
    rows = chosen.rows
    if warning := describe_differences(rows.explain(chosen.reference), rows.names[chosen.reference]):
        st.warning(plain(warning), icon=":material/rule:")
    table = rows.table(chosen.metrics, chosen.reference, results=list_results(current_settings()))
    show_table(
        table.drop(columns="group"),
        key="scores_table",
        text="Leaderboard: runs, baselines, limits and entered results by metric",
        name="leaderboard",
        choose=("run", "scores_open"),
    )
    return table


def show_metric(chosen: Chosen) -> None:
    """One metric, raw: rows between floors and limits, differences, splits."""
    metric = chosen.drawn
    label, best = label_metric(metric), best_of(metric)
    view = load_metric_view(chosen.runs, chosen.rows.choice, metric, chosen.reference, current_context())
    n = int(chosen.rows.entries.set_index("group").loc[[chosen.reference], "n_perturbations"].iloc[0])
    note = f"{'more' if best == 'high' else 'less'} is better; n = {n} perturbations; ticks: single runs"
    left, right = st.columns(2)
    with left:
        show_chart(
            figures.leaderboard_dots(view.groups, view.runs, view.marks, label=label, note=note),
            key="scores_dots",
            text=f"{label} of {len(view.groups)} rows, with spread over seeds, baselines and limits.",
            data=view.groups,
            name=f"scores_{metric}",
        )
    with right:
        if len(view.differences):
            own = chosen.rows.names[chosen.reference]
            show_chart(
                figures.difference_rows(view.differences, view.pairs, best=best, reference=own, label=label),
                key="scores_differences",
                text=f"Difference in {label} of {len(view.differences)} rows from {own}, with 95 % intervals.",
                data=view.differences,
                name=f"differences_{metric}",
            )
        else:
            st.info("Nothing to test: this needs another row with scores of the same perturbations.")
    if view.splits["split"].nunique() > 1:
        show_chart(
            figures.split_lines(view.splits, label=label),
            key="scores_splits_chart",
            text=f"{label} of each model on each split.",
            data=view.splits,
            name=f"splits_{metric}",
        )
    if len(view.differences):
        show_table(
            view.differences.rename(columns={"label": "row"}),
            key="scores_tests",
            text=f"Paired differences in {label}",
            name=f"tests_{metric}",
            height=250,
        )
        st.caption(
            "Paired over perturbations, each the mean over its seeds. low, high: 95 % bootstrap of the mean; "
            "p: sign-flip permutation test; p (Holm): corrected for the rows shown."
        )


def show_report_button(chosen: Chosen) -> None:
    """A download of the report of the rows and metrics looked at, made when it is asked for."""

    def make() -> str:
        from vccapp.training.results.report import make_report

        return make_report(settings=current_settings(), **_report_choices(chosen))

    st.download_button(
        "Report",
        data=make,
        file_name=f"report-{chosen.part}-{chosen.rows.choice.scorer}.html",
        mime="text/html",
        key="scores_report",
        icon=":material/summarize:",
        on_click="ignore",
        help="One HTML file of these rows and metrics, with figures; it opens without a network",
    )


def scores_commands(chosen: Chosen) -> list[str]:
    """`vccapp eval leaderboard`, `metric` and `report` of what is shown."""
    from vccapp.training.results.report import report_command

    choice = chosen.rows.choice
    words = ["--dataset", chosen.record.fingerprint, "--part", choice.part, "--scorer", choice.scorer]
    words += ["--rows", choice.per, "--reference", chosen.rows.newest(chosen.reference)]
    words += [word for model in choice.models for word in ("--model", model)]
    words += [word for split in choice.splits for word in ("--split", split)]
    words += ["--search", choice.text] if choice.text else []
    words += ["--context", context] if (context := current_context()) else []
    metrics = [word for name in chosen.metrics for word in ("--metric", name)]
    commands = [
        ["vccapp", "eval", "leaderboard", *words, "--scale", choice.scale, *metrics],
        ["vccapp", "eval", "metric", chosen.drawn, *words],
        report_command(**_report_choices(chosen)),
    ]
    return list(map(shlex.join, commands))


def _report_choices(chosen: Chosen) -> dict[str, Any]:
    rows = chosen.rows
    return {
        "runs": rows.entries["run"].tolist(),
        "part": rows.choice.part,
        "scorer": rows.choice.scorer,
        "reference": rows.newest(chosen.reference),
        "metrics": [name for name in chosen.metrics if name in rows.raw_metrics] or [chosen.drawn],
    }
