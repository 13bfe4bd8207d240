"""`vccapp train`: start, watch and stop the training of models."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import Background, run_job
from vccapp.cli.jobs import job_row, read_log
from vccapp.cli.names import absolute_split, find_run, ignored_context, open_index, open_settings
from vccapp.cli.output import Json, format_fields, format_lines, format_table, show, show_list, tell
from vccapp.commands import parse_assignments

if TYPE_CHECKING:
    from vccapp.jobs.job import Job
    from vccapp.settings import Settings
    from vccapp.tasks.train import DeviceCount
    from vccapp.training import RunRecord, RunSpec
    from vccapp.training.record import Part

app = typer.Typer(help="Training: start, watch, stop and resume runs.", no_args_is_help=True)
Devices = Annotated[
    str | None, typer.Option(help="Number of processes, one per GPU or share of the cores; auto: all GPUs.")
]
RunId = Annotated[str, typer.Argument(help="Id of the run, or 'latest'.")]


@app.command()
def start(
    model: Annotated[str, typer.Argument(help="Name of the model; see `vccapp train models`.", show_default=False)],
    split: Annotated[str, typer.Option(help="Name or path of the split, which also determines the dataset.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="A model parameter, NAME=VALUE; repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed; the same seed gives the same run.")] = 0,
    title: Annotated[str, typer.Option(help="A title, shown in lists.")] = "",
    devices: Devices = None,
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Train a model on a split."""
    from vccapp.tasks.train import Train
    from vccapp.training import check_run, load_run
    from vccapp.training.fit import count_ranks, estimate_fit

    settings = open_settings()
    params = parse_assignments(set_ or [])
    spec = _make_spec(model, split, params, seed=seed, title=title, settings=settings, devices=devices)
    task = Train.of(spec, devices=_parse_devices(devices))
    shared = task.shared_by(settings)
    index, opened, unfitted = check_run(spec, shared)  # refuses here what the job would refuse
    estimate = estimate_fit(unfitted, index, opened, shared, ranks=count_ranks(unfitted, shared))
    tell(estimate.describe())
    ignored_context(spec.dataset, settings)
    result = run_job(settings, task, background=background, as_json=as_json)
    run = load_run(result.run, settings)
    show(run.model_dump(mode="json"), lambda: format_run(run), as_json=as_json)


@app.command()
def grid(
    model: Annotated[str, typer.Argument(help="Name of the model; see `vccapp train models`.", show_default=False)],
    split: Annotated[str, typer.Option(help="Name or path of the split, which also determines the dataset.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE,VALUE,...; repeatable.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    title: Annotated[str, typer.Option(help="Beginning of each title; the end says what differs.")] = "",
    devices: Devices = None,
    as_json: Json = False,
) -> None:
    """Train a model with every combination of values, each a run of its own, in the background."""
    from vccapp.data.splits.split import load_split
    from vccapp.jobs.grid import start_grid
    from vccapp.tasks.train import Train
    from vccapp.training.grid import Grid, estimate_grid, parse_seeds, parse_values

    settings = open_settings()
    spec = _make_spec(model, split, {}, title=title, settings=settings, devices=devices)
    values = parse_values(parse_assignments(set_ or []))
    specs = Grid(spec=spec, values=values, seeds=parse_seeds(seeds)).specs()
    index = open_index(spec.dataset, settings)
    tell(estimate_grid(specs, index, load_split(split, settings), settings).describe())
    run_ids = start_grid([Train.of(spec, devices=_parse_devices(devices)) for spec in specs], settings)
    rows = [{"run": run_id, "title": spec.title} for run_id, spec in zip(run_ids, specs, strict=True)]
    show(rows, lambda: format_table(rows, ("run", "title")), as_json=as_json)


@app.command()
def resume(
    run: RunId = "latest", devices: Devices = None, background: Background = False, as_json: Json = False
) -> None:
    """Resume a run that was stopped, killed or failed, from its last checkpoint; by as many processes as before."""
    from vccapp.tasks.resume import Resume
    from vccapp.training import load_run

    settings = open_settings()
    found = find_run(run, settings)
    task = Resume(dataset=found.spec.dataset, run_id=found.id, devices=_parse_devices(devices))
    task.check(settings)
    run_job(settings, task, background=background, as_json=as_json)
    ended = load_run(found.id, settings)
    show(ended.model_dump(mode="json"), lambda: format_run(ended), as_json=as_json)


@app.command()
def stop(run: RunId = "latest", as_json: Json = False) -> None:
    """Ask the job of a run to stop."""
    from vccapp.jobs.local import stop_job

    settings = open_settings()
    job = stop_job(settings, _find_job(run, settings).id)
    show(job.model_dump(mode="json"), lambda: f"Run {job.params['run_id']} is {job.state}.", as_json=as_json)


@app.command()
def status(run: RunId = "latest", as_json: Json = False) -> None:
    """Show the state of a run, and its scores when it is finished."""
    settings = open_settings()
    found, job = _find_run_and_job(run, settings)
    parts = []
    if found is not None:
        parts.append(format_run(found))
    if job is not None and (job.active or found is None):
        parts.append(format_fields(job_row(job) | {"message": job.message, "reason": job.reason or None}))
    value = {
        "run": None if found is None else found.model_dump(mode="json"),
        "job": None if job is None else job.model_dump(mode="json"),
    }
    show(value, lambda: "\n\n".join(parts), as_json=as_json)


@app.command()
def logs(
    run: RunId = "latest",
    lines: Annotated[int, typer.Option(min=1, help="Maximum number of lines, from the end.")] = 100,
    as_json: Json = False,
) -> None:
    """Show the end of a run's log."""
    settings = open_settings()
    path, text = read_log(_find_job(run, settings).id, settings, lines=lines)
    show({"path": path, "log": text}, lambda: text, as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the runs, the newest first."""
    from vccapp.training import list_runs

    runs = list_runs(open_settings())

    def row(run: "RunRecord") -> dict[str, Any]:
        own = run.metrics.get("val", {}).get(run.spec.model, {})
        return {
            "id": run.id,
            "state": run.state,
            "split": run.split.name,
            "val_pearson_delta": own.get("pearson_delta"),
            "val_mae": own.get("mae"),
            "title": run.spec.title,
        }

    columns = ("id", "state", "split", "val_pearson_delta", "val_mae", "title")
    value = [run.model_dump(mode="json") for run in runs]
    show_list("runs", value, runs.unreadable, lambda: format_table(map(row, runs), columns), as_json=as_json)


@app.command()
def models(as_json: Json = False) -> None:
    """List the models and their parameters."""
    from vccapp.models.base import MODELS

    value = [
        {
            "name": name,
            "label": model.label,
            "description": model.description,
            "parameters": model.Spec.model_json_schema().get("properties", {}),
        }
        for name, model in MODELS.items()
        if model.trainable
    ]

    def text() -> str:
        lines = []
        for model in value:
            lines.append(f"{model['name']}: {model['description']}")
            lines += [
                f"    {name} (default {schema.get('default')}): {schema.get('description', '')}"
                for name, schema in model["parameters"].items()
            ]
        return format_lines(lines)

    show(value, text, as_json=as_json)


def _make_spec(
    model: str,
    split: str,
    params: dict[str, Any],
    *,
    settings: "Settings",
    title: str,
    devices: str | None,
    seed: int = 0,
) -> "RunSpec":
    """Raises SpecError for a model that is not trained, or not by several processes where they are asked for."""
    from vccapp.data.splits.split import load_split
    from vccapp.errors import SpecError
    from vccapp.models.base import MODELS
    from vccapp.training import RunSpec

    if not MODELS[model].trainable:
        raise SpecError(
            "not_trainable",
            f"'{model}' is not trained",
            fix="`vccapp eval import` turns predictions made elsewhere into a run",
        )
    if devices not in (None, "1") and not MODELS[model].shared:
        raise SpecError(
            "one_process_only",
            f"'{model}' uses a single process",
            fix="leave out --devices",
        )
    return RunSpec(
        model=model,
        params=params,
        dataset=load_split(split, settings).dataset,
        split=absolute_split(split),
        seed=seed,
        title=title,
    )


def _parse_devices(devices: str | None) -> "DeviceCount":
    """Raises SpecError for what is no number of processes."""
    from vccapp.errors import SpecError

    if devices is None:
        return None
    if devices == "auto":
        return "auto"
    if not (devices.isdecimal() and int(devices)):
        raise SpecError(
            "bad_devices",
            f"--devices is '{devices}'",
            fix="use a number from 1, or auto",
        )
    return int(devices)


def _find_job(run: str, settings: "Settings") -> "Job":
    """The job that trains or trained a run. Raises JobError when there is none."""
    from vccapp.errors import JobError

    _, job = _find_run_and_job(run, settings)
    if job is None:
        raise JobError(
            "no_job_of_run",
            f"The run '{run}' was not trained by a job of this workspace, so it has no log and cannot be stopped",
        )
    return job


def _find_run_and_job(run: str, settings: "Settings") -> "tuple[RunRecord | None, Job | None]":
    """A run and its training job; one of them may not be there (yet, or any more), but not both."""
    from vccapp.errors import SpecError
    from vccapp.jobs.local import reconcile
    from vccapp.jobs.store import JobStore

    reconcile(settings)
    with JobStore(settings) as store:
        jobs = store.find(task=("train", "resume"))
    if run == "latest" and jobs:
        run = jobs[0].params["run_id"]
    job = next((job for job in jobs if run in (job.params["run_id"], job.id)), None)
    try:
        return find_run(run if job is None else job.params["run_id"], settings), job
    except SpecError:
        if job is None:
            raise
        return None, job


def _count_scored(run: "RunRecord", part: "Part", model: str) -> int:
    """Perturbations of a mean: the ceiling has none of a single cell."""
    from vccapp.training.results.own_scores import load_references

    table = load_references(run, part).get(model)
    return len(getattr(run.split, part)) if table is None else len(table)


def format_run(run: "RunRecord") -> str:
    fields = {
        "run": run.id,
        "title": run.spec.title or None,
        "state": run.state,
        "reason": run.reason or None,
        "split": run.split.name,
        "dataset": run.spec.dataset,
        "folder": run.folder,
    }
    rows = [
        {"part": part, "model": model, "n_perturbations": _count_scored(run, part, model)} | scores
        for part, by_model in run.metrics.items()
        for model, scores in by_model.items()
    ]
    parts = [format_fields({name: value for name, value in fields.items() if value is not None})]
    if rows:
        columns = ("part", "model", "n_perturbations", "pearson_delta", "spearman_delta", "pds", "mae")
        parts.append(format_table(rows, columns))
    return "\n\n".join(parts)
