"""`vccapp train`: start, watch and stop the training of models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.following import Background, run_job
from vccapp.cli.jobs import job_row, read_log
from vccapp.cli.names import find_run, open_settings, parse_assignments
from vccapp.cli.output import Json, format_fields, format_table, show

if TYPE_CHECKING:
    from vccapp.jobs.store import Job
    from vccapp.settings import Settings
    from vccapp.training import RunRecord

app = typer.Typer(help="Training: start, watch and stop runs.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="Id of the run, or 'latest'.")]


@app.command()
def start(
    model: Annotated[str, typer.Argument(help="Name of the model; see `vccapp train models`.", show_default=False)],
    split: Annotated[str, typer.Option(help="Name or path of the split, which also names the data.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="A model parameter, NAME=VALUE; repeat.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same run.")] = 0,
    title: Annotated[str, typer.Option(help="A name for people.")] = "",
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Train a model on a split."""
    from datetime import UTC, datetime

    from vccapp.data.split import load_split
    from vccapp.errors import SpecError
    from vccapp.models.base import MODELS
    from vccapp.training import RunSpec, check_run, load_run, make_run_id

    if not MODELS[model].trainable:
        msg = f"'{model}' is not trained; `vccapp eval import` makes a run of predictions made elsewhere."
        raise SpecError(msg)
    settings = open_settings()
    spec = RunSpec(
        model=model,
        params=parse_assignments(set_ or []),
        dataset=load_split(split, settings).dataset,
        split=str(Path(split).resolve()) if split.endswith(".json") else split,  # the job runs in another folder
        seed=seed,
        title=title,
    )
    check_run(spec, settings)  # refuses here what the job would refuse
    run_id = make_run_id(spec, now=datetime.now(UTC))
    run_job(
        settings,
        "train",
        spec.model_dump() | {"run_id": run_id},
        title=f"Train {model} on {split}",
        background=background,
        as_json=as_json,
    )
    run = load_run(run_id, settings)
    show(run.model_dump(mode="json"), lambda: _format_run(run), as_json=as_json)


@app.command()
def resume(run: RunId = "latest", background: Background = False, as_json: Json = False) -> None:
    """Go on with a run that was stopped, killed or failed, from its last checkpoint."""
    from vccapp.training import check_resume, load_run

    settings = open_settings()
    found = find_run(run, settings)
    check_resume(found)
    run_job(
        settings,
        "train",
        {"run_id": found.id, "resume": True},
        title=f"Resume {found.spec.model} on {found.split.name}",
        background=background,
        as_json=as_json,
    )
    ended = load_run(found.id, settings)
    show(ended.model_dump(mode="json"), lambda: _format_run(ended), as_json=as_json)


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
        parts.append(_format_run(found))
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
    lines: Annotated[int, typer.Option(min=1, help="At most so many, the last.")] = 100,
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
    show([run.model_dump(mode="json") for run in runs], lambda: format_table(map(row, runs), columns), as_json=as_json)


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
        return "\n".join(lines)

    show(value, text, as_json=as_json)


def _find_job(run: str, settings: "Settings") -> "Job":
    """The job that trains or trained a run. Raises JobError when there is none."""
    from vccapp.errors import JobError

    _, job = _find_run_and_job(run, settings)
    if job is None:
        msg = f"The run '{run}' was not trained by a job of this workspace, so there is none to stop and no log."
        raise JobError(msg)
    return job


def _find_run_and_job(run: str, settings: "Settings") -> "tuple[RunRecord | None, Job | None]":
    """A run and its training job; one of them may not be there (yet, or any more), but not both."""
    from vccapp.errors import SpecError
    from vccapp.jobs.local import reconcile
    from vccapp.jobs.store import JobStore

    reconcile(settings)
    with JobStore(settings) as store:
        jobs = store.list(task="train")
    if run == "latest" and jobs:
        run = jobs[0].params["run_id"]
    job = next((job for job in jobs if run in (job.params["run_id"], job.id)), None)
    try:
        return find_run(run if job is None else job.params["run_id"], settings), job
    except SpecError:
        if job is None:
            raise
        return None, job


def _format_run(run: "RunRecord") -> str:
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
        {"part": part, "model": model, "n_perturbations": len(getattr(run.split, part))} | scores
        for part, by_model in run.metrics.items()
        for model, scores in by_model.items()
    ]
    parts = [format_fields({name: value for name, value in fields.items() if value is not None})]
    if rows:
        columns = ("part", "model", "n_perturbations", "pearson_delta", "spearman_delta", "pds", "mae")
        parts.append(format_table(rows, columns))
    return "\n\n".join(parts)
