"""Runs with the jobs that train them: what lists show, and what people do with one or several.

    entries = list_entries(settings)                  # the one that was begun last comes first
    find_entry("latest", settings).state              # the same run in every command
    delete_runs([entry.id], settings)

A training that waits has a job and no folder yet; a run of another machine or of earlier days has a folder and no job.
"""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vccapp.errors import JobError, SpecError, VccAppError
from vccapp.jobs.job import Job
from vccapp.jobs.local import reconcile, stop_job
from vccapp.jobs.store import JobStore
from vccapp.records import Listing
from vccapp.settings import Settings
from vccapp.tasks.resume import Resume
from vccapp.tasks.train import DeviceCount, Train
from vccapp.training.record import RunRecord, RunSpec, list_runs, load_run
from vccapp.training.runs.bin import delete_run, deleted_ids

TRAINING = (Train.name, Resume.name)
LATEST = "latest"
RESUMABLE = ("stopped", "interrupted", "failed")
GONE = "gone"
"""The state of a run that was finished, whose folder somebody removed."""


@dataclass(frozen=True)
class Entry:
    """A run, and the last job that worked for it; one of them may not be there, but not both."""

    id: str
    run: RunRecord | None
    job: Job | None

    @property
    def active(self) -> bool:
        """Whether it waits or is trained."""
        return self.job is not None and self.job.active or self.run is not None and self.run.state == "running"

    @property
    def state(self) -> str:
        """That of the job while it works or where there is no run; else that of the run."""
        if self.job is not None and (self.job.active or self.run is None):
            return GONE if self.job.state == "succeeded" else self.job.state
        return self.run.state if self.run is not None else GONE

    @property
    def spec(self) -> RunSpec | None:
        """What is or was trained; None where it cannot be read."""
        if self.run is not None:
            return self.run.spec
        try:
            task = None if self.job is None else self.job.read_task()
        except VccAppError:  # of another version
            return None
        return task.spec if isinstance(task, Train) else None

    @property
    def title(self) -> str:
        return self.run.title if self.run is not None else self.spec.title if self.spec is not None else ""

    @property
    def created(self) -> datetime:
        if self.run is not None:
            return self.run.created
        return datetime.fromtimestamp(self.job.created if self.job is not None else 0, UTC)

    @property
    def reason(self) -> str:
        """Why it did not come to its end; empty where it did, or still works."""
        if self.active or self.state == "finished":
            return ""
        if self.state == GONE:
            return "Its folder is gone; train it again, or put the folder back."
        return (self.run.reason if self.run is not None else "") or (self.job.reason if self.job is not None else "")

    @property
    def resumable(self) -> bool:
        return self.run is not None and not self.active and self.run.state in RESUMABLE


def list_entries(settings: Settings, *, dataset: str = "") -> Listing[Entry]:
    """Runs and waiting trainings, of a dataset or of all; unreadable are runs, notes and jobs of any."""
    runs, jobs = list_runs(settings), _training_jobs(settings)
    last: dict[str, Job] = {}
    for job in jobs:  # the newest first
        last.setdefault(str(job.params.get("run_id")), job)
    known = {run.id for run in runs} | {found.path.parent.name for found in runs.unreadable} | deleted_ids(settings)
    waiting = [Entry(run_id, None, job) for run_id, job in last.items() if run_id not in known]
    entries = [*waiting, *(Entry(run.id, run, last.get(run.id)) for run in runs)]
    if dataset:
        entries = [entry for entry in entries if (spec := entry.spec) is None or spec.dataset == dataset]
    return Listing(entries, [*runs.unreadable, *jobs.unreadable])


def find_entry(name: str, settings: Settings) -> Entry:
    """By the id of a run or of its job, or the one that was begun last for 'latest'. Raises SpecError for no such."""
    if name != LATEST and (run := _find_run(name, settings)) is not None:
        return run
    entries = list_entries(settings)
    if name == LATEST:
        if entries:
            return entries[0]
        raise SpecError(
            "no_run", f"There is no run in {settings.checkpoints} yet", fix="start one with `vccapp train start`"
        )
    for entry in entries:
        if name == entry.id or entry.job is not None and name == entry.job.id:
            return entry
    if name in deleted_ids(settings):
        raise SpecError("run_deleted", f"The run '{name}' was deleted", fix=f"`vccapp runs restore {name}` undoes it")
    return Entry(name, load_run(name, settings), None)


def find_entries(run_ids: Collection[str], settings: Settings) -> list[Entry]:
    """Those of these runs that are there, in the given order."""
    found = []
    for run_id in run_ids:
        with contextlib.suppress(VccAppError):  # lists show what cannot be read
            found.append(_find_run(run_id, settings))
    return [entry for entry in found if entry is not None]


def _find_run(run_id: str, settings: Settings) -> Entry | None:
    """A run that has begun, with its last job: no other run is looked at. Raises DataError where it cannot be read."""
    try:
        run = load_run(run_id, settings)
    except SpecError:  # no such run
        return None
    jobs = _training_jobs(settings, naming=run_id)
    return Entry(run_id, run, next((job for job in jobs if job.params.get("run_id") == run_id), None))


def _training_jobs(settings: Settings, *, naming: str = "") -> Listing[Job]:
    """The newest first; none where the job store cannot be read, which what shows jobs says."""
    with contextlib.suppress(JobError):
        reconcile(settings)
        with JobStore(settings) as store:
            return store.find(task=TRAINING, naming=naming)
    return Listing()


def find_log(entry: Entry) -> str:
    """The job whose log tells of it. Raises JobError where there is none."""
    if entry.job is None:
        raise JobError(
            "no_job_of_run",
            f"The run '{entry.id}' was not trained by a job of this workspace, so it has no log and cannot be stopped",
        )
    return entry.job.id


def stop_run(entry: Entry, settings: Settings, *, force: bool = False) -> Job:
    """Ask for an end, with a checkpoint; force : without one. Raises JobError where no job of ours trains it."""
    return stop_job(settings, find_log(entry), force=force)


def plan_resume(entry: Entry, settings: Settings, *, devices: DeviceCount = None) -> Resume:
    """What goes on with it from its last checkpoint, where its last job worked.

    Raises SpecError where there is nothing to resume, or it works.
    """
    if entry.run is None or entry.active:
        raise SpecError(
            "nothing_to_resume",
            f"The run {entry.id} is {entry.state}, so there is nothing to resume",
            fix="choose another run",
        )
    on = "here" if entry.job is None else entry.job.params.get("on", "here")
    task = Resume(dataset=entry.run.spec.dataset, run_id=entry.id, devices=devices, on=on)
    task.check(settings)
    return task


def clone_spec(entry: Entry, *, changes: dict[str, Any], seed: int | None = None, title: str | None = None) -> RunSpec:
    """What trains the same with these changes. Raises SpecError where it is not known what was trained."""
    spec = entry.spec
    if spec is None:
        raise SpecError(
            "unknown_spec", f"It is not known what the run {entry.id} was trained with", fix="start a new one"
        )
    named = spec.title if title is None else title
    return spec.model_copy(
        update={"params": spec.params | changes, "seed": spec.seed if seed is None else seed, "title": named}
    )


def delete_runs(run_ids: Sequence[str], settings: Settings) -> None:
    """Move runs to the bin: all or, where one waits or is trained, none. Raises SpecError."""
    entries = {entry.id: entry for entry in list_entries(settings)}
    for run_id in run_ids:
        entry = entries.get(run_id)
        if entry is not None and entry.active:
            raise SpecError(
                "run_busy", f"The run {run_id} is {entry.state}, so it cannot be deleted", fix="stop it first"
            )
        if entry is None or entry.run is None:
            load_run(run_id, settings)
    for run_id in run_ids:
        delete_run(run_id, settings)


def ids_of_active(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The ids and states of those that can still change."""
    return tuple(f"{entry.id} {entry.state}" for entry in entries if entry.active)
