"""Sweeps on a page: how far one is, its trials, which parameters matter, and the way from the best to Train."""

import contextlib
from collections.abc import Sequence

import streamlit as st

from vccapp.commands import format_value
from vccapp.data.workspace import Record
from vccapp.drivers.control import find_drivers, resume_sweep, stop_sweep, sweep_state
from vccapp.errors import SpecError, VccAppError
from vccapp.evaluation.metrics import METRICS
from vccapp.figures.sweeps import Axis, importance_bars, parallel_coordinates
from vccapp.jobs.store import Job
from vccapp.models.base import label_model, label_parameter
from vccapp.records import Listing
from vccapp.training.sweeps.record import SweepRecord, Trial, list_sweeps, load_sweep
from vccapp.training.sweeps.results import best_spec, importances, trial_table
from vccapp.training.sweeps.space import Choices, every_value
from vccapp.ui.kit.frame import page_link
from vccapp.ui.kit.jobs import BADGES, show_jobs
from vccapp.ui.kit.live import draw_live
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_chart, show_table
from vccapp.ui.training.choice import training_query
from vccapp.wording import plain

ENDED = ("finished", "pruned", "failed", "stopped")
OTHER_BADGES = {
    "finished": ":green-badge[:material/check_circle: finished]",
    "interrupted": ":red-badge[:material/link_off: interrupted]",
}


def load_sweeps(record: Record) -> Listing[SweepRecord]:
    """Sweeps on a dataset, the newest first; unreadable ones are of any dataset."""
    sweeps = list_sweeps(current_settings())
    return Listing([s for s in sweeps if s.spec.run.dataset == record.fingerprint], sweeps.unreadable)


def show_unrecorded(record: Record, sweeps: Sequence[SweepRecord]) -> None:
    """The last sweep that was started, as a job, as long as it has no record: it waits, or could not begin."""
    known = {sweep.id for sweep in sweeps}
    show_jobs(
        task="sweep",
        dataset=record.fingerprint,
        only=lambda job: job.state != "succeeded" and job.params.get("sweep_id") not in known,
        limit=1,
        key="sweep_jobs",
    )


def show_sweep(sweeps: Sequence[SweepRecord]) -> str:
    """Choose a sweep, see it live, stop it or go on with it; its id."""
    known = {sweep.id: sweep for sweep in sweeps}
    chosen = st.selectbox(
        "Sweep", list(known), key="sweep_id", bind="query-params", format_func=lambda id: _name(known[id])
    )
    draw_live(
        lambda: _look(chosen),
        lambda found: _draw_progress(*found),
        watch=lambda found: _watched(*found),
    )
    sweep, _ = _look(chosen)
    if sweep.best is not None:
        _show_best(sweep, sweep.best)
    if sweep.trials:
        show_table(
            trial_table(sweep),
            key="sweep_trials_table",
            text="Table of the trials with their parameters and objective",
            name="trials",
        )
        _show_charts(sweep)
    return chosen


def _look(sweep_id: str) -> tuple[SweepRecord, Job | None]:
    settings = current_settings()
    return load_sweep(sweep_id, settings), find_drivers(settings).get(sweep_id)


def _watched(sweep: SweepRecord, driver: Job | None) -> tuple[str, ...]:
    """What goes on: the page is drawn again when a trial has come or ended."""
    if driver is None or not driver.active:
        return ()
    return (driver.state, str(len(sweep.trials)), str(sweep.count(*ENDED)))


def _draw_progress(sweep: SweepRecord, driver: Job | None) -> None:
    state, spec = sweep_state(sweep, driver), sweep.spec
    ended = sweep.count(*ENDED)
    head, action = st.columns([6, 1], vertical_alignment="center")
    counts = [f"{sweep.count(name)} {name}" for name in ("running", *ENDED) if sweep.count(name)]
    badge = (BADGES | OTHER_BADGES).get(state, plain(state))
    head.markdown(f"{badge} {plain(', '.join(counts) or 'no trial yet')}")
    if driver is not None and driver.active:
        action.button("Stop", key="sweep_stop", on_click=_stop, args=(sweep,), width="stretch")
    elif not sweep.finished:
        action.button(
            "Go on", key="sweep_resume", icon=":material/resume:", on_click=_resume, args=(sweep,), width="stretch"
        )
    st.progress(ended / max(spec.n_trials, 1), text=f"{ended:,} of {spec.n_trials:,} trials have ended")
    if driver is not None and not driver.active and driver.reason and not sweep.finished:
        st.caption(plain(driver.reason))


def _show_best(sweep: SweepRecord, best: Trial) -> None:
    """The best trial, and the links to its runs and to the form."""
    spec = best_spec(sweep, best)
    told = ", ".join(f"{_label(sweep, name)} = {format_value(value)}" for name, value in best.params.items())
    n = f", mean of {len(best.runs)} runs" if len(best.runs) > 1 else ""
    st.markdown(f"**Best: trial {best.number + 1:,}**, {plain(_objective(sweep))} {best.value:.4g}{n}  \n{plain(told)}")
    with st.container(horizontal=True):
        page_link("compare", "Open its run in Compare", cmp_runs=best.runs[0].id)
        with contextlib.suppress(VccAppError):  # with parameters that the model no longer has
            page_link("train", "Open its parameters in Train", **training_query(spec))


def _show_charts(sweep: SweepRecord) -> None:
    table = trial_table(sweep)
    done = table[table["state"] == "finished"].drop(columns=["state", "runs", "reason"])
    objective = _objective(sweep)
    if done.empty:
        st.caption("The charts appear with the first finished trial.")
        return
    if axes := _axes(sweep):
        show_chart(
            parallel_coordinates(done, axes, objective=objective, best=sweep.spec.better),
            key="sweep_parallel",
            text=f"{len(done)} trials as lines across {', '.join(axis.label for axis in axes)} and {objective}",
            data=done,
            name="parallel_coordinates",
        )
    try:
        shares = importances(sweep)
    except SpecError as untold:
        st.caption(plain(untold))
        return
    named = shares.assign(parameter=[_label(sweep, name) for name in shares["parameter"]])
    first = named.iloc[0]
    show_chart(
        importance_bars(named, objective=objective, n=len(done)),
        key="sweep_importances",
        text=f"Importances for {objective}: {first['parameter']} most, {first['importance']:.0%}",
        data=shares,
        name="importances",
    )


def _axes(sweep: SweepRecord) -> list[Axis]:
    axes = []
    for name, part in sweep.spec.space.items():
        if isinstance(part, Choices):
            axes.append(Axis(name, _label(sweep, name), part.values))
        else:
            axes.append(Axis(name, _label(sweep, name), every_value(part), is_range=True, log=part.log))
    return axes


def _label(sweep: SweepRecord, name: str) -> str:
    return label_parameter(sweep.spec.run.model, name)


def _objective(sweep: SweepRecord) -> str:
    name = sweep.spec.metric
    return METRICS[name].label if name in METRICS else name


def _name(sweep: SweepRecord) -> str:
    run = sweep.spec.run
    return f"{run.title or label_model(run.model)} · {sweep.spec.n_trials:,} trials · {sweep.created:%d %b %H:%M}"


def _stop(sweep: SweepRecord) -> None:
    stop_sweep(sweep, current_settings())


def _resume(sweep: SweepRecord) -> None:
    resume_sweep(sweep, current_settings())
