"""`vccapp jobs`: what runs, waits and ran."""

import contextlib
import shlex
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vccapp.cli.names import open_settings
from vccapp.cli.output import Json, format_fields, format_table, format_unreadable, show
from vccapp.errors import VccAppError

if TYPE_CHECKING:
    from vccapp.jobs.job import Job
    from vccapp.settings import Settings

app = typer.Typer(help="Jobs: running, waiting and ended.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(help="Id of the job, or 'latest'.")]


@app.command("list")
def list_(
    task: Annotated[str | None, typer.Option(help="Only jobs of this task, e.g. train.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, the newest first."""
    from vccapp.jobs.local import reconcile
    from vccapp.jobs.store import JobStore

    settings = open_settings()
    reconcile(settings)
    with JobStore(settings) as store:
        found = store.find(task=task or (), limit=limit)
    rows, damaged = [job_row(job) for job in found], format_unreadable(found.unreadable)
    columns = ("id", "task", "state", "done", "created", "seconds", "title")
    show(
        [job.model_dump(mode="json") for job in found],
        lambda: "\n".join([format_table(rows, columns), *damaged]),
        as_json=as_json,
    )


@app.command("show")
def show_(job: JobId, as_json: Json = False) -> None:
    """Show one job and the end of its log."""
    from vccapp.jobs.store import JobStore

    settings = open_settings()
    found = find_job(job, settings)
    _, text = read_log(found.id, settings, lines=20)
    with JobStore(settings) as store:
        events = store.events(found.id)
    fields = job_row(found) | {"message": found.message, "waits": found.waits or None, "reason": found.reason or None}
    fields |= {"result": found.result, "needs": found.needs.describe()}
    value = found.model_dump(mode="json") | {"log": text, "events": [event.model_dump() for event in events]}
    with contextlib.suppress(VccAppError):  # written by another version
        command = found.read_task().command()
        fields["command"] = shlex.join(command)
        value["command"] = command
    rows = [event.model_dump() | {"time": _clock(event.time)} for event in events]
    show(
        value,
        lambda: f"{format_fields(fields)}\n\n{format_table(rows, ('time', 'state', 'reason'))}\n\n{text}",
        as_json=as_json,
    )


@app.command()
def stop(
    job: JobId,
    force: Annotated[bool, typer.Option("--force", help="Kill it at once, without a checkpoint.")] = False,
    as_json: Json = False,
) -> None:
    """Ask a job to stop."""
    from vccapp.jobs.local import stop_job

    settings = open_settings()
    stopped = stop_job(settings, find_job(job, settings).id, force=force)
    show(stopped.model_dump(mode="json"), lambda: f"Job {stopped.id} is {stopped.state}.", as_json=as_json)


def find_job(name: str, settings: "Settings") -> "Job":
    """A job by id, or the newest for 'latest'. Raises JobError when there is none."""
    from vccapp.errors import JobError
    from vccapp.jobs.local import reconcile
    from vccapp.jobs.store import JobStore

    reconcile(settings)
    with JobStore(settings) as store:
        if name != "latest":
            return store.get(name)
        newest = store.find(limit=1)
    if not newest:
        raise JobError(
            "no_job",
            "There are no jobs yet",
            fix="start one, for example with `vccapp data demo`",
        )
    return newest[0]


def read_log(job_id: str, settings: "Settings", *, lines: int) -> tuple[str, str]:
    """Path of a job's log, and its last lines."""
    from vccapp.jobs.store import JobStore

    with JobStore(settings) as store:
        return str(store.log_path(job_id)), "\n".join(store.read_log(job_id).splitlines()[-lines:])


def job_row(job: "Job") -> dict[str, Any]:
    end = job.ended or time.time()
    return {
        "id": job.id,
        "task": job.task,
        "state": job.state,
        "done": f"{job.fraction:.0%}",
        "created": _clock(job.created),
        "seconds": None if job.started is None else round(max(end - job.started, 0.0), 1),
        "title": job.title,
    }


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
