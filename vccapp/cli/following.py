"""Long work from the command line: the same jobs that the app starts, followed until they end.

`--background` prints the job and returns. Otherwise progress goes to standard error, and Ctrl-C stops the job.
"""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from vccapp.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vccapp.jobs.job import Job
    from vccapp.settings import Place, Settings
    from vccapp.tasks.base import Result, Task

R = TypeVar("R", bound="Result")
Background = Annotated[bool, typer.Option("--background", help="Start the job and return; see `vccapp jobs list`.")]
On = Annotated[
    Literal["here", "ray"],
    typer.Option(help="Where to work: here (this machine) or ray (the cluster of the settings)."),
]
After = Annotated[
    list[str] | None,
    typer.Option(metavar="JOB", help="Start when this job has succeeded, and fail if it does not; repeatable."),
]
POLL_SECONDS = 0.2
EXIT_FAILED, EXIT_STOPPED = 1, 130
_last = [""]
"""How the last line began."""


def run_job(
    settings: "Settings",
    task: "Task[R]",
    *,
    job: "Job | None" = None,
    on: "Place" = "here",
    background: bool,
    after: After = None,
    as_json: bool,
) -> "R":
    """Start a job and return its result once it has succeeded. Otherwise the command ends here.

    job : where it is started already; on : where it is to work otherwise; after : jobs that must have succeeded before.

    In the background it ends well at once, having printed the job. What the work refuses is raised as JobError, with
    the code of the refusal.
    """
    from vccapp.cli.output import show, tell, warn
    from vccapp.errors import JobError
    from vccapp.jobs.local import start_job
    from vccapp.jobs.worker import EXIT_REFUSED

    for note in _notes(settings, task):
        warn(note)
    begun = start_job(settings, task.model_copy(update={"on": on}), after=after or ()) if job is None else job
    if background:
        show(
            begun.model_dump(mode="json"), lambda: f"Started job {begun.id} ({one_line(begun.title)}).", as_json=as_json
        )
        raise typer.Exit
    job = _follow(settings, begun.id)
    if job.state == "succeeded":
        return task.read_result(job.result or {})
    if job.exit_code == EXIT_REFUSED:
        raise JobError(job.error_code, job.reason)
    stopped = job.state == "stopped"
    reason = "" if stopped else f" {job.reason}"
    tell(f"Job {job.id} is {job.state}.{reason} Its log: {_log_path(settings, job.id)}")
    raise typer.Exit(EXIT_STOPPED if stopped else EXIT_FAILED)


def _notes(settings: "Settings", task: "Task[R]") -> "Iterator[str]":
    """What the user should know before the work begins."""
    from vccapp.data.workspace import list_datasets, source_fault

    if settings.memory_note:
        yield settings.memory_note
    if task.dataset:
        faults = (source_fault(record) for record in list_datasets(settings) if record.fingerprint == task.dataset)
        yield from (fault.problem for fault in faults if fault is not None)


def _follow(settings: "Settings", job_id: str) -> "Job":
    """Show a job's progress until it ends; returns it. Ctrl-C asks it to stop, and waits for that."""
    from vccapp.jobs.local import reconcile, stop_job
    from vccapp.jobs.store import JobStore

    shown = ""
    with JobStore(settings) as store:
        while True:
            try:
                reconcile(settings)
                job = store.get(job_id)
                line = f"{job.state if job.state != 'running' else f'{job.fraction:4.0%}'}  {job.message}".rstrip()
                if line != shown:
                    shown = line
                    _show_line(line)
                if not job.active:
                    end_progress()
                    return job
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                stop_job(settings, job_id)


def show_progress(fraction: float, message: str = "") -> None:
    _show_line(f"{fraction:4.0%}  {message}")


def end_progress() -> None:
    """Leave the line that is written over."""
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _show_line(line: str) -> None:
    """One line that is written over on a terminal; elsewhere a line for each percent or state."""
    line = one_line(line)
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    elif (begin := line.split()[0]) != _last[0]:
        _last[0] = begin
        print(line, file=sys.stderr, flush=True)


def _log_path(settings: "Settings", job_id: str) -> "Path":
    from vccapp.jobs.store import JobStore

    with JobStore(settings) as store:
        return store.log_path(job_id)
