"""The leaderboard on a page: which rows, one table of all metrics, one metric in figures."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.leaderboard.metric_names import best_of, find_metric, label_metric, official_name
from vccapp.evaluation.leaderboard.metric_view import MetricView, view_metric
from vccapp.evaluation.leaderboard.ranking import (
    CEILING,
    FLOOR,
    add_entered,
    explain_differences,
    group_seeds,
    name_groups,
    search,
    tabulate,
    tell_differences,
)
from vccapp.evaluation.scorers.base import is_official, label_scorer, order_scorers
from vccapp.evaluation.scorers.own import PSEUDOBULKS
from vccapp.figures import scores as figures
from vccapp.training.results.board import PARTS, Board, load_board
from vccapp.training.results.entered import list_results, tabulate_results
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_chart, show_table

FIRST = ("pearson_delta", "pds", "mae", "nmse", "scouter_pcc_error")
"""Metrics in the table at first, where the scorer gives them; else those of a challenge."""
OWN_SCALES = {"raw": "as computed", "scaled": f"0 at the {FLOOR}, 1 at the {CEILING}, none where that is no better"}
OFFICIAL_SCALES = {
    "raw": "as the scorer gives them",
    "scaled": "between its baseline (0) and its best value (1)",
    "clipped": "scaled, as the judges clip them",
}
ROWS = {"models": "Models, over seeds", "runs": "Single runs"}


@dataclass(frozen=True)
class Chosen:
    """The rows looked at. raw: the board of one part and scorer, entries with `group`; shown: on the scale chosen.

    metrics : columns of the table, the first ranks the rows; drawn : the first of them that is drawn, raw
    """

    record: Record
    state: float  # of the runs when they were read
    raw: Board
    shown: Board
    part: str
    scorer: str
    metrics: tuple[str, ...]
    drawn: str
    reference: str
    scale: str

    @property
    def newest(self) -> str:
        """The newest run of the reference."""
        entries = self.raw.entries
        return entries.loc[entries["group"] == self.reference, "run"].iloc[-1]


def choose_board(record: Record) -> Chosen | None:
    """Part, scorer, filters, metrics and reference; None, said on the page, where nothing is scored or left."""
    state = runs_state()
    every = _board(record.fingerprint, state)
    if every.entries.empty:
        st.info(f"No run on {record.title} is scored yet. Train a model first; the mean takes seconds.")
        return None
    first, second, third, fourth = st.columns([1, 2, 1, 2])
    part = first.segmented_control(
        "Part", PARTS, default=PARTS[0], required=True, key="scores_part", bind="query-params"
    )
    scorers = order_scorers(every.entries["scorer"])
    scorer = second.segmented_control(
        "Scorer",
        scorers,
        default=scorers[0],
        required=True,
        key="scores_scorer",
        bind="query-params",
        format_func=label_scorer,
    )
    scales = _scales(scorer)
    scale = third.segmented_control(
        "Values",
        list(scales),
        default="raw",
        required=True,
        key=f"scores_scale_{scorer}",
        bind="query-params",
        help=" · ".join(f"{name}: {meaning}" for name, meaning in scales.items()),
    )
    rows = fourth.segmented_control(
        "Rows",
        list(ROWS),
        default="models",
        required=True,
        key="scores_rows",
        bind="query-params",
        format_func=ROWS.get,
    )
    raw = every.only(part=part, scorer=scorer)
    shown = every.only(part=part, scorer=scorer, scale=scale) if is_official(scorer) else raw
    entries = _filter(raw.entries)
    if entries.empty:
        st.info(f"No run is left that {label_scorer(scorer)} has scored on the {part} part; choose fewer filters.")
        return None
    entries = group_seeds(entries) if rows == "models" else entries.assign(group=entries["run"])
    known, drawable = (_metrics(board, entries) for board in (shown, raw))
    left, right = st.columns([2, 1])
    metrics = left.multiselect(
        "Metrics",
        known,
        default=[name for name in FIRST if name in known] or [name for name in known if find_metric(name)] or known,
        key=f"scores_metrics_{scorer}_{scale}",
        bind="query-params",
        format_func=label_metric,
        help="The first ranks the rows and is drawn below.",
    )
    names = name_groups(entries).sort_values()
    reference = right.selectbox(
        "Compared with",
        list(names.index),
        index=list(names.index).index(_default_reference(entries)),
        key="scores_reference",
        bind="query-params",
        format_func=names.get,
    )
    chosen = metrics or known[:1]
    return Chosen(
        record=record,
        state=state,
        raw=replace(raw, entries=entries),
        shown=replace(shown, entries=entries),
        part=part,
        scorer=scorer,
        metrics=tuple(chosen),
        drawn=next((name for name in chosen if name in drawable), drawable[0]),
        reference=reference,
        scale=scale,
    )


def _scales(scorer: str) -> dict[str, str]:
    """What values there are."""
    if is_official(scorer):
        return OFFICIAL_SCALES
    return OWN_SCALES if scorer == PSEUDOBULKS else {"raw": OWN_SCALES["raw"]}


def _filter(entries: pd.DataFrame) -> pd.DataFrame:
    """The entries of the models and splits chosen that hold the text searched."""
    first, second, third = st.columns(3)
    models, splits = (
        place.multiselect(
            title, sorted(entries[name].unique()), key=f"scores_{name}s", bind="query-params", placeholder="all"
        )
        for place, title, name in ((first, "Models", "model"), (second, "Splits", "split"))
    )
    text = third.text_input("Search", key="scores_search", bind="query-params", placeholder="title, parameters, id")
    found = search(entries, text)
    of_model, of_split = found["model"].isin(models), found["split"].isin(splits)
    return found[(of_model | (not models)) & (of_split | (not splits))]


def _default_reference(entries: pd.DataFrame) -> str:
    """The mean of the training perturbations on the split of the newest run; where it was not trained, that run."""
    newest = entries.sort_values("created").iloc[-1]
    floor = entries[(entries["split_key"] == newest["split_key"]) & (entries["model"] == "perturbation_mean")]
    return floor["group"].iloc[-1] if len(floor) else newest["group"]


def _metrics(board: Board, entries: pd.DataFrame) -> list[str]:
    """Metrics that some of the runs have."""
    known = board.values[board.values["run"].isin(entries["run"])].dropna(subset="value")
    return list(dict.fromkeys(known["metric"]))


def show_leaderboard(chosen: Chosen) -> pd.DataFrame:
    """The table of all rows, and what cannot be compared. The newest run of a row chosen is noted as `scores_open`."""
    differing = explain_differences(chosen.raw.entries, chosen.reference)
    names = name_groups(chosen.raw.entries)
    if told := tell_differences(differing, names[chosen.reference]):
        st.warning(told, icon=":material/rule:")
    frames, official = chosen.shown, is_official(chosen.scorer)
    table = tabulate(
        frames.entries,
        frames.values,
        frames.marks,
        metrics={name: best_of(name, scaled=official and chosen.scale != "raw") for name in chosen.metrics},
        reference=chosen.reference,
        scaled=not official and chosen.scale == "scaled",
    )
    results = tabulate_results(list_results(current_settings()))
    if official:
        results["metric"] = results["metric"].map(official_name)
    table = add_entered(table, results[results["scale"] == ("raw" if chosen.scale == "raw" else "scaled")])
    show_table(
        table.drop(columns="group"),
        key="scores_table",
        text="Leaderboard: rows of runs, floors, ceiling and entered results; columns of metrics",
        name="leaderboard",
        choose=("run", "scores_open"),
    )
    return table


def show_metric(chosen: Chosen) -> None:
    """One metric, raw: rows between floor and ceiling, differences, splits."""
    metric = chosen.drawn
    label, best = label_metric(metric), best_of(metric)
    view = load_view(chosen, metric)
    n = int(chosen.raw.entries.set_index("group").loc[[chosen.reference], "n_perturbations"].iloc[0])
    note = f"{'more' if best == 'high' else 'less'} is better; n = {n} perturbations; ticks: single runs"
    left, right = st.columns(2)
    with left:
        show_chart(
            figures.leaderboard_dots(view.groups, view.runs, view.marks, label=label, note=note),
            key="scores_dots",
            text=f"{label} of {len(view.groups)} rows, with spread over seeds, floors and ceiling.",
            data=view.groups,
            name=f"scores_{metric}",
        )
    with right:
        if len(view.differences):
            own = name_groups(chosen.raw.entries)[chosen.reference]
            show_chart(
                figures.difference_rows(view.differences, view.pairs, best=best, reference=own, label=label),
                key="scores_differences",
                text=f"Difference in {label} of {len(view.differences)} rows from {own}, with 95 % intervals.",
                data=view.differences,
                name=f"differences_{metric}",
            )
        else:
            st.info("Nothing to test: another row with scores of the same perturbations is needed.")
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
            "Paired over perturbations, each the mean over its seeds. low, high: 95 % bootstrap of the mean; p: signs "
            "of the differences flipped; p (Holm): over the rows shown."
        )


def load_view(chosen: Chosen, metric: str) -> MetricView:
    """Frames of one metric, cached for what is chosen."""
    return _view(chosen, metric, _key(chosen))


def runs_state() -> float:
    """Changes whenever a run or one of its scores does."""
    folder = current_settings().checkpoints
    paths = [folder, *folder.glob("*/run.json"), *folder.glob("*/scores")]
    return sum(path.stat().st_mtime for path in paths if path.exists())


def _key(chosen: Chosen) -> tuple[str, ...]:
    entries = chosen.raw.entries
    return (
        chosen.part,
        chosen.scorer,
        chosen.scale,
        chosen.reference,
        str(chosen.state),
        *entries["run"],
        *entries["group"],
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _board(dataset: str, state: float) -> Board:
    return load_board(current_settings(), dataset=dataset)


@st.cache_resource(max_entries=64, show_spinner=False)
def _view(_chosen: Chosen, metric: str, key: tuple[str, ...]) -> MetricView:
    board = _chosen.raw
    return view_metric(
        board.entries, board.values, board.marks, board.tables, metric=metric, reference=_chosen.reference
    )


def show_report_button(chosen: Chosen) -> None:
    """A download of the report of the rows and metrics looked at, made when it is asked for."""

    def make() -> str:
        from vccapp.training.results.report import make_report

        return make_report(settings=current_settings(), **_report_choices(chosen))

    st.download_button(
        "Report",
        data=make,
        file_name=f"report-{chosen.part}-{chosen.scorer}.html",
        mime="text/html",
        key="scores_report",
        icon=":material/summarize:",
        on_click="ignore",
        help="One HTML file of these rows and metrics, with figures; it opens without a network",
    )


def scores_words(chosen: Chosen) -> list[list[str]]:
    """`vccapp eval leaderboard` and `vccapp eval report` of what is shown."""
    from vccapp.training.results.report import report_words

    words = ["vccapp", "eval", "leaderboard", "--dataset", chosen.record.fingerprint, "--part", chosen.part]
    words += ["--scorer", chosen.scorer, "--reference", chosen.newest]
    words += [word for name in _raw_metrics(chosen) for word in ("--metric", name)]
    words += ["--scaled"] if chosen.scorer == PSEUDOBULKS and chosen.scale == "scaled" else []
    return [words, report_words(**_report_choices(chosen))]


def _report_choices(chosen: Chosen) -> dict[str, Any]:
    return {
        "runs": chosen.raw.entries["run"].tolist(),
        "part": chosen.part,
        "scorer": chosen.scorer,
        "reference": chosen.newest,
        "metrics": _raw_metrics(chosen),
    }


def _raw_metrics(chosen: Chosen) -> list[str]:
    """The metrics chosen that are there raw, or the one drawn: a challenge's average exists scaled alone."""
    raw = set(chosen.raw.values["metric"])
    return [name for name in chosen.metrics if name in raw] or [chosen.drawn]
