"""Choosing runs: search, filters, columns and the table. All of it stands in the address, runs by their ids."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.leaderboard.metric_names import label_metric
from vccapp.jobs.runs import Entry, ids_of_active, list_entries
from vccapp.models.base import label_model
from vccapp.records import Listing
from vccapp.training.runs.tables import matches
from vccapp.training.validation import VALIDATION_METRICS
from vccapp.ui.kit.downloads import show_csv_button
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings, load_datasets
from vccapp.ui.runs.rows import COLUMNS, FIRST, format_columns, make_rows
from vccapp.wording import plain

CHOSEN = "run"
"""The parameter of the address that names the chosen runs."""
MOST = 1000
"""Rows of the table: the rows of a longer one could not be chosen."""
ROW, TALLEST = 35, 420
NO_TAG = "(no tag)"


@dataclass(frozen=True)
class Filter:
    """Which runs are listed; empty leaves all."""

    text: str = ""
    states: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def keeps(self, entry: Entry) -> bool:
        spec = entry.spec
        tags = entry.run.notes.tags if entry.run is not None and entry.run.notes.tags else (NO_TAG,)
        return (
            (not self.states or entry.state in self.states)
            and (not self.models or spec is not None and spec.model in self.models)
            and (not self.tags or bool(set(tags) & set(self.tags)))
            and matches(entry.id, entry.run, spec, self.text)
        )


def read_entries(record: Record | None) -> Listing[Entry]:
    """Runs and waiting trainings, of a dataset or of all."""
    return list_entries(current_settings(), dataset="" if record is None else record.fingerprint)


def show_runs(entries: Listing[Entry], of: Record | None) -> None:
    """Filters and the table, live while a run waits or is trained. A choice in it is the `run` of the address.

    entries : what `read_entries(of)` has just read
    """
    kept = _choose_filter(entries)
    columns, metric = _choose_columns()
    titles = {one.fingerprint: one.title for one in load_datasets()}
    first = [entries]

    def read() -> Listing[Entry]:
        return first.pop() if first else read_entries(of)

    def draw(found: Listing[Entry]) -> None:
        if st.session_state.pop("runs_picked", False):
            st.rerun()
        shown = [entry for entry in found if kept.keeps(entry)]
        _draw_table(shown[:MOST], titles, columns, metric)
        told = f"Runs: {len(shown):,} of {len(found):,}" if len(shown) < len(found) else f"Runs: {len(found):,}"
        more = f"; the newest {MOST:,} are listed, search for others" if len(shown) > MOST else ""
        st.caption(f"{told}{more}. Choose one to open it, or several to compare or change them.")

    draw_live(read, draw, watch=ids_of_active)


def chosen_ids() -> list[str]:
    """Of the runs that the address names, in that order."""
    return list(dict.fromkeys(st.query_params.get_all(CHOSEN)))


def choose(run_ids: Sequence[str]) -> None:
    """Open these runs, or none."""
    if run_ids:
        st.query_params[CHOSEN] = list(run_ids)
    elif CHOSEN in st.query_params:
        del st.query_params[CHOSEN]


def _choose_filter(entries: Sequence[Entry]) -> Filter:
    states = list(dict.fromkeys(entry.state for entry in entries))
    models = sorted({entry.spec.model for entry in entries if entry.spec is not None})
    tags = sorted({tag for entry in entries if entry.run is not None for tag in entry.run.notes.tags})
    places = st.columns([2, 1, 1, 1])
    text = places[0].text_input(
        "Search", key="runs_search", bind="query-params", placeholder="Title, note, parameter, tag or id"
    )
    state, model, tag = (
        place.multiselect(
            title,
            options,
            key=f"runs_{name}",
            bind="query-params",
            wrap=True,
            placeholder="all",
            accept_new_options=False,
            format_func=label_model if name == "model" else str,
        )
        for place, title, name, options in (
            (places[1], "State", "state", states),
            (places[2], "Model", "model", models),
            (places[3], "Tags", "tag", [*tags, NO_TAG] if tags else []),
        )
    )
    return Filter((text or "").strip(), tuple(state), tuple(model), tuple(tag))


def _choose_columns() -> tuple[list[str], str]:
    """The columns that are shown, and the metric of the validation scores."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="runs_columns_row"):
        metric = st.selectbox(
            "Validation score",
            VALIDATION_METRICS,
            key="runs_metric",
            bind="query-params",
            format_func=label_metric,
            width=260,
        )
        with st.popover("Columns", icon=":material/view_column:"):
            columns = st.multiselect(
                "Columns",
                list(COLUMNS),
                list(FIRST),
                key="runs_columns",
                bind="query-params",
                wrap=True,
                label_visibility="collapsed",
                format_func=COLUMNS.__getitem__,
            )
    return columns or list(FIRST), metric


def _draw_table(shown: Sequence[Entry], titles: dict[str, str], columns: Sequence[str], metric: str) -> None:
    ids = [entry.id for entry in shown]
    wanted = [ids.index(run_id) for run_id in chosen_ids() if run_id in ids]
    # A row is chosen by its number: with other rows it is another table, which begins with the same runs chosen.
    digest = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:12]
    key = f"runs_table_{digest}_{st.session_state.get('runs_table', 0)}"
    if key in st.session_state and sorted(st.session_state[key].selection.rows) != sorted(wanted):
        st.session_state["runs_table"] = st.session_state.get("runs_table", 0) + 1
        key = f"runs_table_{digest}_{st.session_state['runs_table']}"

    def take() -> None:
        before = chosen_ids()
        rows = [ids[row] for row in st.session_state[key].selection.rows]
        choose([run_id for run_id in before if run_id in rows] + [run_id for run_id in rows if run_id not in before])
        st.session_state["runs_picked"] = True

    frame = make_rows(shown, titles, metric=metric)
    st.dataframe(
        frame[[name for name in COLUMNS if name in columns]],
        key=key,
        alt=f"Table of {len(shown)} runs with state, progress and scores",
        height=min(TALLEST, ROW * (len(frame) + 1) + 3),
        hide_index=True,
        width="stretch",
        column_config=format_columns(metric),
        on_select=take,
        selection_mode="multi-row",
        selection_default={"selection": {"rows": wanted}},
        placeholder="-",
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        show_csv_button(frame.assign(tags=frame["tags"].map(" ".join)), name="runs", key="runs_table_csv")


def name_entry(entry: Entry) -> str:
    """How an entry is called on the page."""
    spec = entry.spec
    words = [entry.title, "" if spec is None else label_model(spec.model)]
    return plain(" · ".join(filter(None, words)) or entry.id)
