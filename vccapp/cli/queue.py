"""`vccapp queue`: what works and waits, in order, and why."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.jobs import JobId, find_job
from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_table, show
from vccapp.commands import parse_assignments

if TYPE_CHECKING:
    from vccapp.jobs.job import Job

app = typer.Typer(help="The queue: what works and waits, in order.", invoke_without_command=True)
COLUMNS = ("place", "id", "state", "done", "left", "memory", "threads", "title", "waits")


@app.callback()
def list_(context: typer.Context, as_json: Json = False) -> None:
    """What works and waits, in order, and why it waits."""
    from vccapp.jobs.local import list_queue

    if context.invoked_subcommand is None:
        _show_jobs(list_queue(open_settings()), as_json=as_json)


@app.command()
def first(job: JobId, as_json: Json = False) -> None:
    """Make a waiting job the first."""
    _move(job, first=True, as_json=as_json)


@app.command()
def last(job: JobId, as_json: Json = False) -> None:
    """Make a waiting job the last."""
    _move(job, first=False, as_json=as_json)


@app.command()
def again(job: JobId, as_json: Json = False) -> None:
    """Start a job anew that failed, was stopped or lost; a training goes on from its last checkpoint."""
    from vccapp.jobs.local import start_again

    settings = open_settings()
    _show_jobs([start_again(settings, find_job(job, settings).id)], as_json=as_json)


@app.command("stop-all")
def stop_all_(as_json: Json = False) -> None:
    """Ask all jobs to stop."""
    from vccapp.jobs.local import stop_all

    _show_jobs(stop_all(open_settings()), as_json=as_json)


@app.command()
def chain(
    paths: Annotated[list[Path], typer.Argument(help="Data files with the same genes.")],
    model: Annotated[str, typer.Option(help="Name of the model; see `vccapp train models`.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="A model parameter, NAME=VALUE; repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed; the same seed gives the same run.")] = 0,
    title: Annotated[str, typer.Option(help="A title, shown in lists.")] = "",
    score: Annotated[str, typer.Option(help="A scorer that scores the run at the end.")] = "",
    build: Annotated[str, typer.Option(metavar="SEASON", help="Build a submission of this season at the end.")] = "",
    practice: Annotated[bool, typer.Option(help="Mark the submission as practice.")] = False,
    as_json: Json = False,
) -> None:
    """Index a file, split it, train a model, score it and build a submission: jobs that start one after another."""
    from vccapp.jobs.chain import start_chain
    from vccapp.tasks.index import Index

    index, params = Index(paths=tuple(paths)), parse_assignments(set_ or [])
    jobs = start_chain(
        open_settings(),
        index,
        model,
        params,
        seed=seed,
        title=title,
        scorer=score,
        season=build,
        practice=practice,
    )
    _show_jobs(jobs, as_json=as_json)


def _move(name: str, *, first: bool, as_json: bool) -> None:
    from vccapp.jobs.local import list_queue, move_in_queue

    settings = open_settings()
    move_in_queue(settings, find_job(name, settings).id, first=first)
    _show_jobs(list_queue(settings), as_json=as_json)


def _show_jobs(jobs: "list[Job]", *, as_json: bool) -> None:
    from vccapp.jobs.job import seconds_left
    from vccapp.wording import bytes_text, duration_text

    def row(place: int, job: "Job") -> dict[str, Any]:
        left = seconds_left(job, time.time())
        return {
            "place": place,
            "id": job.id,
            "state": job.state,
            "done": f"{job.fraction:.0%}",
            "left": None if left is None else duration_text(left),
            "memory": bytes_text(job.needs.memory_bytes),
            "threads": job.needs.threads,
            "title": job.title,
            "waits": job.waits or None,
        }

    rows = [row(place, job) for place, job in enumerate(jobs, 1)]
    show(
        [job.model_dump(mode="json") for job in jobs],
        lambda: format_table(rows, COLUMNS) if rows else "The queue is empty.",
        as_json=as_json,
    )
