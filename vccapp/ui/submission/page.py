"""The first step of the page: a saved plan as it is, or a new one by its form."""

import shlex
from dataclasses import dataclass

from vccapp.data.workspace import Record
from vccapp.errors import VccAppError
from vccapp.seasons.base import Phase, Season
from vccapp.stats.index import Index
from vccapp.submission.plan import Plan
from vccapp.tasks.build import Build
from vccapp.ui.kit.frame import show_error
from vccapp.ui.submission.choice import choose_submission
from vccapp.ui.submission.plan import (
    choose_plan,
    draft_plan,
    edit_plan,
    show_limits,
    show_plan,
    show_plan_buttons,
    show_plan_chart,
)
from vccapp.ui.submission.steps import step


@dataclass(frozen=True)
class PlanStep:
    """plan : of the page; None while none can stand; commands : that do what the page does"""

    plan: Plan | None
    commands: list[str]


def show_plan_step(record: Record, index: Index, season: Season, phase: Phase) -> PlanStep:
    """Choose or open a plan, show what it means, change it, save it, compare it."""
    opened = choose_plan(record, season)
    if opened is not None:
        state, said = ("practice", "practice") if opened.practice else ("done", "saved")
        with step(1, "Plan", state=state, said=said):
            _show(opened, season, saved=True)
        return PlanStep(opened, [shlex.join(Build(plan=opened.id).command())])
    with step(1, "Plan", state="now", said="new") as say:
        try:
            choice = choose_submission(record, index, season, phase)
        except VccAppError as error:  # of a table or a path that was given
            show_error(error)
            return PlanStep(None, [])
        draft = draft_plan(choice)
        edit_plan(draft, choice)
        if draft.plan is None:
            say("failed", "cannot stand")
            return PlanStep(None, choice.commands())
        say(*(("practice", "practice") if draft.plan.practice else ("done", "stands")))
        _show(draft.plan, season, saved=draft.saved)
        return PlanStep(draft.plan, choice.commands())


def _show(plan: Plan, season: Season, *, saved: bool) -> None:
    show_plan(plan, season)
    show_limits(plan, season)
    show_plan_buttons(plan, saved=saved)
    show_plan_chart(plan)
