"""`vccapp sweep`: many trials of a model's parameters, each of ordinary runs."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vccapp.cli.following import After, Background, On, run_job
from vccapp.cli.names import absolute_split, ignored_context, open_index, open_settings
from vccapp.cli.output import Json, format_fields, format_table, show, show_list, tell
from vccapp.cli.runs.options import Devices, parse_devices
from vccapp.cli.train import app as train_app
from vccapp.cli.train import make_run_spec
from vccapp.commands import parse_assignments

if TYPE_CHECKING:
    from vccapp.jobs.store import Job
    from vccapp.settings import Place, Settings
    from vccapp.training.sweeps.record import SweepRecord

app = typer.Typer(help="Sweeps: try many parameters, and see which do best.", no_args_is_help=True)
SweepId = Annotated[str, typer.Argument(help="Id of the sweep, or 'latest'.")]
Model = Annotated[str, typer.Argument(help="Name of the model; see `vccapp train models`.", show_default=False)]
SplitName = Annotated[str, typer.Option(help="Name or path of the split, which also determines the dataset.")]
Values = Annotated[
    list[str] | None, typer.Option("--set", help="Values of a parameter, NAME=VALUE,VALUE,...; repeatable.")
]
Seeds = Annotated[str, typer.Option(help="Seeds of the runs of each trial, separated by commas.")]
Title = Annotated[str, typer.Option(help="Beginning of each run's title; the end says what differs.")]


@app.command()
def start(
    model: Model,
    split: SplitName,
    set_: Values = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", help="Range of a parameter, NAME=LOW,HIGH or NAME=LOW,HIGH,log; repeatable."),
    ] = None,
    sampler: Annotated[
        Literal["grid", "random", "tpe"], typer.Option(help="How trials are chosen; grid: every combination of values.")
    ] = "tpe",
    trials: Annotated[int, typer.Option(min=1, help="Number of trials; a grid has one per combination.")] = 24,
    sampler_seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of the sampler; the same seed gives the same trials.")
    ] = 0,
    seeds: Seeds = "0",
    folds: Annotated[
        int, typer.Option(min=0, help="Folds of the perturbations outside test, one run each; 0: the split's own val.")
    ] = 0,
    metric: Annotated[str, typer.Option(help="Score on the val part by which trials are judged.")] = "pearson_delta",
    pruning: Annotated[
        Literal["none", "median", "hyperband"], typer.Option(help="Rule that ends unpromising trials early.")
    ] = "none",
    at_once: Annotated[int | None, typer.Option(min=1, help="Runs at once. Default: VCCAPP_MAX_JOBS.")] = None,
    title: Title = "",
    devices: Devices = None,
    on: On = "here",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Start a sweep: try values and ranges of a model's parameters."""
    chosen: dict[str, Any] = {"sampler": sampler, "sampler_seed": sampler_seed, "folds": folds, "metric": metric}
    chosen |= {"n_trials": trials, "pruning": pruning, "at_once": at_once, "ranges": parse_assignments(range_ or [])}
    _start(
        model, split, set_, seeds, title, devices, on=on, background=background, after=after, as_json=as_json, **chosen
    )


@train_app.command()
def grid(
    model: Model,
    split: SplitName,
    set_: Values = None,
    seeds: Seeds = "0",
    title: Title = "",
    devices: Devices = None,
    as_json: Json = False,
) -> None:
    """Train a model with every combination of values, in the background: `vccapp sweep start --sampler grid`."""
    _start(model, split, set_, seeds, title, devices, background=True, as_json=as_json, sampler="grid")


@app.command()
def status(sweep: SweepId = "latest", as_json: Json = False) -> None:
    """Show the trials of a sweep and what they say."""
    settings = open_settings()
    _show_sweep(find_sweep(sweep, settings), settings, as_json=as_json)


@app.command()
def stop(sweep: SweepId = "latest", as_json: Json = False) -> None:
    """Ask a sweep and its runs to stop; it can be resumed."""
    from vccapp.drivers.control import stop_sweep

    settings = open_settings()
    found = find_sweep(sweep, settings)
    state = stop_sweep(found, settings)
    show({"sweep": found.id, "state": state}, lambda: f"Sweep {found.id} is {state}.", as_json=as_json)


@app.command()
def resume(sweep: SweepId = "latest", background: Background = False, as_json: Json = False) -> None:
    """Go on with the trials of a sweep that was stopped or killed."""
    from vccapp.drivers.control import resume_sweep

    settings = open_settings()
    found = find_sweep(sweep, settings)
    job = resume_sweep(found, settings)
    run_job(settings, job.read_task(), job=job, background=background, as_json=as_json)
    _show_sweep(find_sweep(found.id, settings), settings, as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the sweeps, the newest first."""
    from vccapp.drivers.control import find_drivers
    from vccapp.training.sweeps.record import list_sweeps

    settings = open_settings()
    sweeps, drivers = list_sweeps(settings), find_drivers(settings)
    rows = [_row(sweep, drivers.get(sweep.id)) for sweep in sweeps]
    columns = ("id", "state", "model", "sampler", "trials", "ended", "metric", "best", "title")
    show_list("sweeps", rows, sweeps.unreadable, lambda: format_table(rows, columns), as_json=as_json)


def find_sweep(name: str, settings: "Settings") -> "SweepRecord":
    """A sweep by id, or the newest for 'latest'. Raises SpecError when there is none."""
    from vccapp.errors import SpecError
    from vccapp.training.sweeps.record import list_sweeps, load_sweep

    if name != "latest":
        return load_sweep(name, settings)
    sweeps = list_sweeps(settings)
    if not sweeps:
        raise SpecError("no_sweep", "There is no sweep yet", fix="start one with `vccapp sweep start`")
    return sweeps[0]


def _start(
    model: str,
    split: str,
    set_: list[str] | None,
    seeds: str,
    title: str,
    devices: str | None,
    *,
    on: "Place" = "here",
    background: bool,
    after: After = None,
    as_json: bool,
    ranges: dict[str, Any] | None = None,
    at_once: int | None = None,
    **chosen: Any,
) -> None:
    from vccapp.data.splits.split import load_split
    from vccapp.tasks.sweep import Sweep
    from vccapp.training.sweeps.estimate import estimate_sweep
    from vccapp.training.sweeps.space import parse_seeds, parse_values
    from vccapp.training.sweeps.spec import make_sweep

    settings = open_settings()
    run = make_run_spec(model, split, {}, title=title, settings=settings, devices=devices)
    chosen |= {"seeds": tuple(parse_seeds(seeds)), "at_once": at_once or settings.max_jobs}
    spec = make_sweep(run, parse_values(parse_assignments(set_ or [])), ranges or {}, **chosen)
    task = Sweep.of(spec, devices=parse_devices(devices))
    index = open_index(run.dataset, settings)
    tell(estimate_sweep(spec, index, load_split(absolute_split(split) or split, settings), settings).describe())
    task.check(settings)
    ignored_context(run.dataset, settings)
    result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    _show_sweep(find_sweep(result.sweep, settings), settings, as_json=as_json)


def _row(sweep: "SweepRecord", driver: "Job | None") -> dict[str, Any]:
    from vccapp.drivers.control import sweep_state

    return {
        "id": sweep.id,
        "state": sweep_state(sweep, driver),
        "model": sweep.spec.run.model,
        "sampler": sweep.spec.sampler,
        "trials": sweep.spec.n_trials,
        "ended": sweep.count("finished", "pruned", "failed", "stopped"),
        "metric": sweep.spec.metric,
        "best": None if sweep.best is None else sweep.best.value,
        "best_trial": None if sweep.best is None else sweep.best.number + 1,
        "title": sweep.spec.run.title,
    }


def _show_sweep(sweep: "SweepRecord", settings: "Settings", *, as_json: bool) -> None:
    from vccapp.drivers.control import find_drivers
    from vccapp.errors import SpecError
    from vccapp.training.sweeps.results import importances, trial_table

    driver = find_drivers(settings).get(sweep.id)
    fields = _row(sweep, driver)
    try:
        shares, untold = dict(importances(sweep).itertuples(index=False)), ""
    except SpecError as error:
        shares, untold = {}, str(error)
    value = {
        **fields,
        "spec": sweep.spec.model_dump(mode="json"),
        "trials": [trial.model_dump(mode="json") for trial in sweep.trials],
        "importances": shares or None,
    }

    def text() -> str:
        if driver is not None and driver.reason and not driver.active:
            fields["reason"] = driver.reason
        table = trial_table(sweep)
        shown = [name for name in table.columns if name != "reason" or table["reason"].any()]
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items()) or untold
        parts = [format_fields(fields), format_table(table.to_dict("records"), shown), f"Importances: {told}"]
        return "\n\n".join(parts)

    show(value, text, as_json=as_json)
