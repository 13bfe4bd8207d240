"""The view of the page Compare that changes a prediction after its fit. It returns its command."""

import shlex
from typing import Any

import pandas as pd
import streamlit as st

from vccapp.commands import assignments
from vccapp.errors import SpecError
from vccapp.evaluation.calibration.curves import KNOBS, Curves, draw_curves, label_knob
from vccapp.evaluation.calibration.pool import METRICS
from vccapp.evaluation.metrics import METRICS as KNOWN
from vccapp.figures.comparison.calibration import knob_curves
from vccapp.models.calibration.setting import Setting
from vccapp.references import FULL_NAMES, PERFECT, PERTURBATION_MEAN, REPEAT
from vccapp.stats.index import Index
from vccapp.tasks.calibrate import Calibrate
from vccapp.training import RunRecord, list_runs, load_run
from vccapp.training.choosing.calibrate import OpenedPool, find_fellows, find_held_out, open_pool
from vccapp.ui.comparison.choice import Choice
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, show_jobs
from vccapp.ui.kit.loaders import cached, current_settings
from vccapp.ui.kit.show import show_chart, show_table
from vccapp.wording import plain, plain_lines

STEPS = {"amplitude": 0.05, "target_level": 0.05, "shrinkage": 0.05, "shared": 0.05, "components": 1}
FELLOWS = {"all": "All runs of its model", "alone": "This run alone"}
MARKS = (PERTURBATION_MEAN, REPEAT, PERFECT)


def show_calibrate(chosen: Choice) -> list[str]:
    """Knobs, what each metric would be along them, and a button that makes a run of what is chosen."""
    if chosen.shown.kind != "run":
        st.info("Choose a run in *Shown in detail*: baselines are not calibrated.")
        return []
    run = load_run(chosen.shown.key, current_settings())
    fellows = find_fellows(run, list_runs(current_settings()))
    if fellows and choose_one("Told by", FELLOWS, key="cal_with") == "alone":
        fellows = []
    try:
        held_out = find_held_out(run, fellows)
    except SpecError as error:
        st.info(plain(str(error)))
        return []
    with st.spinner("Opening the held-out predictions"):
        opened = _load_pool(chosen.comparison.index, (run, *fellows))
    setting = _choose_setting(opened)
    curves = draw_curves(opened.pool, setting, opened.references)
    st.caption(plain(f"Of {held_out.describe()} {_explain()}"))
    if current_context():
        st.caption(":orange[Perturbations of all contexts count here, not only those of the one chosen.]")
    if curves.warnings:
        st.warning(plain_lines(curves.warnings), icon=":material/warning:")
    _show_curves(curves)
    task = Calibrate(
        dataset=run.spec.dataset,
        run_id=run.id,
        fellows=[own.id for own, _ in held_out.by if own.id != run.id],
        setting=setting.changed,
    )
    _show_start(task, setting)
    words = ["vccapp", "eval", "calibrate", "--run", run.id]
    words += [word for fellow in task.fellows for word in ("--with", fellow)]
    look = shlex.join([*words, *assignments(setting.changed)])
    return [look] if setting.is_neutral else [look, shlex.join(task.command())]


@cached(max_entries=2)
def _load_pool(index: Index, runs: tuple[RunRecord, ...]) -> OpenedPool:
    """The predictions of the first run and its fellows, made ready; scores of settings are kept with it."""
    return open_pool(index, find_held_out(runs[0], runs[1:]))


def _explain() -> str:
    return (
        "Own targets follow their level alone. Along a knob the others stay as chosen. A gain is cross-fitted where "
        "each perturbation is judged by the value that is best for all others: what a choice is worth elsewhere."
    )


def _choose_setting(opened: OpenedPool) -> Setting:
    """A slider for each knob; the own-target level is as predicted until it is set."""
    fields = st.container(key="fields_cal")
    values: dict[str, Any] = {}
    for knob in KNOBS:
        known = Setting.model_fields[knob]
        limits = {name: getattr(mark, name) for mark in known.metadata for name in ("ge", "le") if hasattr(mark, name)}
        kind = int if knob == "components" else float
        low, high = (kind(limits[name]) for name in ("ge", "le"))
        if knob == "components":
            high = min(high, opened.pool.most_components)
            if high == 0:
                continue
        shared: dict[str, Any] = {"key": f"cal_{knob}", "help": known.description, "bind": "query-params"}
        with fields.container():
            if known.default is None:
                on = st.toggle(f"Set {plain(label_knob(knob).lower())}", key="cal_set", bind="query-params")
                shared["disabled"] = not on
                value = st.slider(plain(label_knob(knob)), low, high, 0.2, STEPS[knob], **shared)
                values[knob] = value if on else None
            else:
                values[knob] = st.slider(plain(label_knob(knob)), low, high, kind(known.default), STEPS[knob], **shared)
    return Setting(**values)


def _show_curves(curves: Curves) -> None:
    """Scores of the setting, a figure a metric, and what would be chosen along each knob."""
    show_table(
        curves.scores, key="cal_scores", text="Scores as chosen, as predicted, of baselines and limits", name="chosen"
    )
    with_marks = st.toggle(
        "Baseline and limits in the figures",
        value=True,
        key="cal_marks",
        bind="query-params",
        help="Without them the curves are larger.",
    )
    marks = curves.scores.set_index("source").loc[[FULL_NAMES[name] for name in MARKS if with_marks]]
    chosen = curves.choices.drop_duplicates("knob").set_index("knob")["chosen"]
    for metric in METRICS:
        own = curves.values[curves.values["metric"] == metric].drop(columns="metric")
        own = own.assign(chosen=own["knob"].map(chosen), knob=own["knob"].map(label_knob))
        label, best = KNOWN[metric].label, "more" if KNOWN[metric].best == "high" else "less"
        show_chart(
            knob_curves(
                own,
                pd.DataFrame({"name": marks.index, "value": marks[metric].to_numpy()}),
                title=label,
                note=f"{best} is better; band: standard error over {curves.n} perturbations; orange: as chosen",
            ),
            key=f"cal_curve_{metric}",
            text=f"{label} of the prediction along each of {own['knob'].nunique()} knobs, with baseline and limits.",
            data=own,
            name=f"calibration_{metric}",
        )
    table = curves.choices.assign(
        knob=curves.choices["knob"].map(label_knob), metric=[KNOWN[name].label for name in curves.choices["metric"]]
    )
    show_table(table, key="cal_choices", text="The best value of each knob by metric, and its gain", name="choices")


def _show_start(task: Calibrate, setting: Setting) -> None:
    """The button that makes a run of the setting, and its jobs."""
    title = st.text_input("Title of the calibrated run", key="cal_title", placeholder="Named by what is changed")
    pressed = st.button(
        "Create the calibrated run", icon=":material/tune:", key="cal_start", disabled=setting.is_neutral
    )
    if pressed:
        with errors_shown():
            named = task.model_copy(update={"run_title": (title or "").strip()})
            named.check(current_settings())
            begin_job(named)
            st.rerun()
    show_jobs(task=task.name, dataset=task.dataset, limit=2, key="cal_jobs")
