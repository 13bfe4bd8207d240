"""Sweeps from outside: in which state one is, and how it is stopped and taken up again."""

from collections.abc import Iterable

from vccapp.errors import JobError, SpecError
from vccapp.jobs.local import reconcile, start_job, stop_job
from vccapp.jobs.store import Job, JobStore
from vccapp.settings import Settings
from vccapp.tasks.sweep import Sweep
from vccapp.training.sweeps.record import SweepRecord

ENDED = {"failed": "failed", "lost": "interrupted"}
"""What a sweep with trials left is called, by the state of its last driver; any other is stopped."""


def find_drivers(settings: Settings) -> dict[str, Job]:
    """The last job that drives or drove each sweep, by the sweep's id."""
    reconcile(settings)
    with JobStore(settings) as store:
        jobs = store.find(task=Sweep.name)
    return {job.params["sweep_id"]: job for job in reversed(jobs) if "sweep_id" in job.params}


def sweep_state(sweep: SweepRecord, driver: Job | None) -> str:
    """finished, stopped, failed, interrupted, or the state of the job that drives it."""
    if driver is not None and driver.active:
        return driver.state
    if sweep.finished:
        return "finished"
    return "stopped" if driver is None else ENDED.get(driver.state, "stopped")


def resume_sweep(sweep: SweepRecord, settings: Settings) -> Job:
    """Go on with the trials that are there; where it goes on already, the job that does it.

    Raises SpecError where every trial has ended.
    """
    driver = find_drivers(settings).get(sweep.id)
    if driver is not None and driver.active:
        return driver
    if sweep.finished:
        raise SpecError(
            "nothing_to_resume", f"All trials of the sweep {sweep.id} have ended", fix="start another sweep"
        )
    return start_job(settings, Sweep.of(sweep.spec, devices=sweep.devices, sweep_id=sweep.id, on=sweep.on))


def stop_sweep(sweep: SweepRecord, settings: Settings) -> str:
    """Ask the sweep and its runs to stop, and return at once; its state then."""
    driver = find_drivers(settings).get(sweep.id)
    if driver is not None and driver.active:
        driver = stop_job(settings, driver.id)
    else:
        for job in _jobs_under_way(sweep, settings):
            stop_job(settings, job.id)
    return sweep_state(sweep, driver)


def _jobs_under_way(sweep: SweepRecord, settings: Settings) -> Iterable[Job]:
    """What a driver that was killed left at work."""
    found = []
    with JobStore(settings) as store:
        for run in (run for trial in sweep.trials for run in trial.runs if run.job):
            try:
                found.append(store.get(run.job))
            except JobError:  # removed
                continue
    return [job for job in found if job.active]
