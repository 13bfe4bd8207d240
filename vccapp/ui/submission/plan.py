"""The first step: a plan that is new or saved, its numbers against every limit, its table, and others beside it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from vccapp.data.schema import target_of
from vccapp.data.workspace import Record
from vccapp.errors import SpecError, VccAppError
from vccapp.figures import submission as figures
from vccapp.seasons.base import Season
from vccapp.submission.ledger.entry import delete_kept
from vccapp.submission.plan import Plan, list_plans, plan_path, write_plan
from vccapp.submission.planning.choice import measure_effects
from vccapp.submission.planning.compare import compare_cells, compare_plans
from vccapp.submission.planning.numbers import list_limits
from vccapp.submission.planning.power import P, plan_power
from vccapp.ui.kit.forms import named
from vccapp.ui.kit.frame import show_error
from vccapp.ui.kit.loaders import cached, current_settings, load_index
from vccapp.ui.kit.show import show_chart, show_table
from vccapp.ui.submission.choice import SubmissionChoice, format_cells, parse_cells
from vccapp.ui.submission.season import keep_among
from vccapp.wording import plain

NEW = ""


@dataclass(frozen=True)
class Draft:
    """The plan of the page. advised : the same before numbers were set by hand; plan : None while it cannot stand"""

    plan: Plan | None
    advised: Plan | None
    saved: bool


def choose_plan(record: Record, season: Season) -> Plan | None:
    """A saved plan of the page's data and season; None for a new one."""
    saved = list_plans(current_settings())
    plans = {plan.id: plan for plan in saved if record.fingerprint in plan.datasets and plan.season == season.name}
    if not plans:
        return None
    labels = {NEW: "New plan"} | {id: f"{id} (practice)" if plan.practice else id for id, plan in plans.items()}
    keep_among("sub_open", labels)
    chosen = st.selectbox(
        "Plan", list(labels), key="sub_open", bind="query-params", format_func=lambda id: named(labels)(id)
    )
    return plans.get(chosen)


def draft_plan(choice: SubmissionChoice) -> Draft:
    """The plan of what is chosen, made again at each change; what it cannot be is said."""
    if not choice.ready:
        return Draft(None, None, False)
    try:
        advised = _make(choice, edited=False)
    except VccAppError as error:
        if error.code == "no_held_out":  # what a page begins with is no mistake
            st.info(plain(str(error)))
        else:
            show_error(error)
        return Draft(None, None, False)
    if not choice.plan.cells_of:
        return Draft(advised, advised, _is_saved(advised))
    try:
        plan = _make(choice, edited=True)
    except SpecError as error:
        show_error(error)
        return Draft(None, advised, False)
    return Draft(plan, advised, _is_saved(plan))


def _make(choice: SubmissionChoice, *, edited: bool) -> Plan:
    chosen = choice.plan if edited else choice.plan.model_copy(update={"cells_of": {}})
    return chosen.make(
        current_settings(),
        table=choice.table,
        opener=lambda dataset, settings: load_index(settings.index_of(dataset)),
        measure=lambda run, labels, settings: _load_effects(run, labels),
    )


@cached(max_entries=8, show_spinner="Predicting the effects")
def _load_effects(run: str, labels: tuple[str, ...]) -> dict[str, float]:
    return measure_effects(run, labels, current_settings())


def _is_saved(plan: Plan) -> bool:
    return plan_path(plan.id, current_settings()).exists()


def show_plan(plan: Plan, season: Season) -> None:
    """What is planned, whether each limit is kept, why it is practice, and what was noticed."""
    estimate = plan.estimate
    with st.container(horizontal=True, key="numbers"):
        st.metric("Targets", f"{len({target_of(label) for label in plan.cells}):,}")
        st.metric("Cells", f"{estimate.n_cells:,}", help=f"Limit: {season.max_cells:,}, controls included")
        st.metric("Controls", f"{plan.n_controls * len(plan.sources):,}", help="Copied, of all contexts")
        st.metric("Budget used", f"{estimate.n_cells / season.max_cells:.1%}")
        st.metric("Scaled by", f"{plan.alpha:.4f}", help="Planned cells divided by requested cells")
        if power := load_power(plan):
            least = min(power, key=power.__getitem__)
            st.metric(
                "Power",
                f"{np.median(list(power.values())):.0%}",
                help=plain(
                    f"How likely the scorer's rank test finds an expressed gene that falls to half (p < {P:g}), by the "
                    f"numbers of cells: median over the targets; the least is {least}, {power[least]:.0%}. "
                    "An approximation from the control cells."
                ),
            )
    for reason in plan.reasons:
        st.markdown(f":orange-badge[:material/school: practice] {plain(reason)}")
    for note in plan.notes:
        st.caption(plain(note))


def limit_table(plan: Plan, season: Season) -> pd.DataFrame:
    """One row a limit of the season: what, planned, allowed, kept."""
    rows = [
        {
            "what": limit.what,
            "planned": f"{limit.planned:,.0f}",
            "allowed": f"{'at most' if limit.kind == 'most' else 'exactly'} {limit.allowed:,.0f}",
            "kept": "yes" if limit.kept else "practice" if plan.practice and limit.what == "Genes" else "no",
        }
        for limit in list_limits(plan, season)
    ]
    return pd.DataFrame(rows, columns=["what", "planned", "allowed", "kept"])


def load_power(plan: Plan) -> dict[str, float]:
    """Power by label; empty where it cannot be told."""
    return _load_power(plan.model_dump_json())


@cached(max_entries=16)
def _load_power(plan: str) -> dict[str, float]:
    return plan_power(Plan.model_validate_json(plan), lambda dataset: load_index(current_settings().index_of(dataset)))


def plan_table(plan: Plan) -> pd.DataFrame:
    """One row a perturbation: perturbation, wanted, given, power (missing where it cannot be told)."""
    power = load_power(plan)
    return pd.DataFrame(
        {
            "perturbation": list(plan.cells),
            "wanted": list(plan.wanted.values()),
            "given": list(plan.cells.values()),
            "power": [power.get(label) for label in plan.cells],
        }
    )


def show_plan_chart(plan: Plan) -> None:
    """Cells per perturbation against what is advised."""
    table = plan_table(plan)
    show_chart(
        figures.budget_bars(table, alpha=plan.alpha),
        key="sub_budget",
        text=f"Bar chart: planned and wanted cells of {len(plan.cells)} perturbations.",
        data=table,
        name="plan",
    )


def show_limits(plan: Plan, season: Season) -> None:
    """Totals against the limits, as the plan stands."""
    table = limit_table(plan, season)
    st.dataframe(
        table,
        key="sub_limits",
        alt="Limits of the season and what is planned",
        hide_index=True,
        width="stretch",
        column_config={"what": "Limit", "planned": "Planned", "allowed": "Allowed", "kept": "Kept"},
    )


def edit_plan(draft: Draft, choice: SubmissionChoice) -> None:
    """A table in which the numbers of cells are changed by hand, and the box that keeps the changes in the link."""
    if choice.season.cells_per_target is not None or draft.advised is None:
        return
    edits = choice.plan.cells_of
    with st.expander("Change single numbers", icon=":material/edit:", expanded=bool(edits)):
        st.text_input(
            "Set by hand",
            key="sub_cells_of",
            bind="query-params",
            placeholder="MYC=250, SRC=100",
            help="Cells of single targets. The table writes here, and the link keeps it.",
        )
        table = pd.DataFrame(
            {
                "perturbation": list(draft.advised.cells),
                "advised": list(draft.advised.cells.values()),
                "cells": [edits.get(label, edits.get(target_of(label), n)) for label, n in draft.advised.cells.items()],
            }
        )
        st.data_editor(
            table,
            key="sub_editor",
            alt="Numbers of cells by perturbation; the last column can be changed",
            hide_index=True,
            width="stretch",
            height=260,
            disabled=["perturbation", "advised"],
            column_config={
                "perturbation": "Perturbation",
                "advised": st.column_config.NumberColumn("Advised", format="localized"),
                "cells": st.column_config.NumberColumn("Cells", min_value=1, step=1, format="localized"),
            },
            on_change=_take_edits,
            args=(table,),
        )
        total, cap = int(table["cells"].sum()), choice.season.max_cells
        controls = draft.advised.n_controls * len(draft.advised.sources)
        over = total + controls - cap
        st.caption(
            f"{total:,} cells and {controls:,} controls of {cap:,} allowed: "
            + (f"{over:,} too many" if over > 0 else f"{-over:,} places left")
        )


def _take_edits(table: pd.DataFrame) -> None:
    """What was changed in the table, added to what was set before."""
    edits = parse_cells(st.session_state.get("sub_cells_of") or "")
    for row, changed in st.session_state["sub_editor"]["edited_rows"].items():
        if (n := changed.get("cells")) is not None:
            edits[str(table["perturbation"].iloc[int(row)])] = int(n)
    advised = dict(zip(table["perturbation"], table["advised"], strict=True))
    st.session_state["sub_cells_of"] = format_cells({k: n for k, n in edits.items() if advised.get(k) != n})
    del st.session_state["sub_editor"]


def show_plan_buttons(plan: Plan, *, saved: bool) -> None:
    """Save the plan; compare it with others that are saved."""
    others = [other for other in list_plans(current_settings()) if other.id != plan.id]
    left, right = st.columns([1, 3], vertical_alignment="bottom")
    if left.button(
        "Saved" if saved else "Save the plan", icon=":material/save:", key="sub_save", disabled=saved, width="stretch"
    ):
        write_plan(plan, current_settings())
        st.rerun()
    if not others:
        return
    ids = [other.id for other in others]
    if "sub_compare" in st.session_state:
        st.session_state["sub_compare"] = [id for id in st.session_state["sub_compare"] if id in ids]
    chosen = right.multiselect("Compare with", ids, key="sub_compare", bind="query-params", placeholder="Saved plans")
    if chosen:
        compared = [plan, *(other for other in others if other.id in chosen)]
        text = f"Choices of {len(compared)} plans, those that differ first"
        show_table(compare_plans(compared), key="sub_compared", text=text, name="plans")
        cells = compare_cells(compared)
        if len(cells):
            show_table(cells, key="sub_compared_cells", text="Cells of targets that differ", name="plan-cells")


def delete_button(id: str, *, key: str) -> None:
    """Delete a submission, once it is confirmed."""
    with st.popover("Delete", icon=":material/delete:", key=f"{key}_ask"):
        st.markdown(f"Deletes the plan, cells, checks and package of **{plain(id)}**; the ledger keeps what made it.")
        st.button("Delete for good", type="primary", key=f"{key}_delete", on_click=_delete, args=(id,))


def _delete(id: str) -> None:
    delete_kept(id, current_settings())
    if st.session_state.get("sub_open") == id:
        st.session_state["sub_open"] = NEW
