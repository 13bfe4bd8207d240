"""Results of official submissions on a page: entered by hand, changed, deleted."""

from datetime import date

import pandas as pd
import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.leaderboard.metric_names import OVERALL, label_metric
from vccapp.seasons.opened import list_seasons
from vccapp.training.results.entered import (
    EnteredResult,
    delete_result,
    list_results,
    make_result,
    make_result_id,
    write_result,
)
from vccapp.training.runs.naming import label_runs
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.runs import load_runs
from vccapp.ui.kit.show import show_table
from vccapp.wording import plain

NEW = "new"


def show_entered(record: Record) -> None:
    """The entered results, and the form that adds, changes or deletes one."""
    results = {result.id: result for result in list_results(current_settings())}
    st.caption("Scores from the official leaderboard. They are not computed here and are always marked as such.")
    if results:
        show_table(
            result_table(list(results.values())),
            key="entered_table",
            text="Results of official submissions, entered by hand",
            name="entered",
            height=220,
        )
    chosen = st.selectbox(
        "Result",
        [NEW, *results],
        key="entered_which",
        format_func=lambda name: "New result" if name == NEW else _title(results[name]),
    )
    own = results.get(chosen)
    key = f"entered_{chosen}_{len(results)}"  # after one is saved the form is empty again
    fields = _form(own, record, key=key)
    save, delete, _ = st.columns([1, 1, 4])
    if save.button("Save", type="primary", icon=":material/save:", key=f"{key}_save", width="stretch"):
        with errors_shown():
            name = own.id if own else make_result_id(date.today())
            result = make_result(current_settings(), id=name, **fields)
            write_result(result, current_settings())
            st.rerun()
    if own is not None:
        with delete.popover("Delete", icon=":material/delete:", width="stretch"):
            st.markdown(f"Delete **{plain(_title(own))}** permanently?")
            st.button("Yes, delete it", key=f"{key}_delete", on_click=delete_result, args=(own.id, current_settings()))


def result_table(results: list[EnteredResult]) -> pd.DataFrame:
    """One row a result, one column a score."""
    rows = [
        result.model_dump(include={"date", "season", "phase", "scale"})
        | result.scores
        | result.model_dump(include={"note", "run", "submission", "id"})
        for result in results
    ]
    return pd.DataFrame(rows)


def _form(own: EnteredResult | None, record: Record, *, key: str) -> dict:
    """The fields as they stand in the widgets."""

    def choose(place: st.delta_generator.DeltaGenerator, field: str, options: list[str], help_text: str) -> str:
        known = own is not None and getattr(own, field) in options
        index = options.index(getattr(own, field)) if known else len(options) - 1 if field == "season" else 0
        return place.selectbox(field.capitalize(), options, index=index, key=f"{key}_{field}", help=help_text)

    columns = st.columns(4)
    day = columns[0].date_input("Date", own.date if own else "today", key=f"{key}_date")
    seasons = {season.name: season for season in list_seasons(current_settings())}
    season = seasons[choose(columns[1], "season", list(seasons), "Season of the challenge")]
    phases = [phase.name for phase in season.phases]
    phase = choose(columns[2], "phase", phases, "Phases are judged on different cells")
    scale = choose(columns[3], "scale", ["raw", "scaled"], "scaled: 0 = baseline, 1 = replicate")
    places = st.columns(4) + st.columns(4)
    scores = {
        name: place.number_input(
            "Overall" if name == OVERALL else label_metric(name),
            value=own.scores.get(name) if own else None,
            format="%.5f",
            step=None,
            key=f"{key}_{season.name}_{name}",
        )
        for place, name in zip(places, season.judged, strict=False)
    }
    left, right = st.columns(2)
    runs = label_runs(load_runs(record))
    if own and own.run:
        runs.setdefault(own.run, own.run)
    run = left.selectbox(
        "Run",
        [None, *runs],
        index=[None, *runs].index(own.run) if own else 0,
        key=f"{key}_run",
        format_func=lambda name: runs.get(name, "none"),
    )
    made = sorted(path.parent.name for path in current_settings().submissions.glob("*/plan.json"))
    made = sorted({*made, own.submission}) if own and own.submission else made
    submission = right.selectbox(
        "Submission",
        [None, *made],
        index=[None, *made].index(own.submission) if own else 0,
        key=f"{key}_submission",
        format_func=lambda name: name or "none",
    )
    note = st.text_input("Note", own.note if own else "", key=f"{key}_note", max_chars=500)
    known = {name: value for name, value in scores.items() if value is not None}
    return {"date": day, "season": season.name, "phase": phase, "scale": scale, "scores": known} | {
        "run": run,
        "submission": submission,
        "note": note,
    }


def _title(result: EnteredResult) -> str:
    return f"{result.season} {result.phase} · {result.date} · {result.note[:60] or result.id}"
