"""A queue of jobs that take no time, for the driver of sweeps: each look at it moves every run on by one validation."""

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

from vccapp.data.splits.split import make_split
from vccapp.jobs.store import Job, JobStore
from vccapp.settings import Settings
from vccapp.tasks.base import Task
from vccapp.tasks.resume import Resume
from vccapp.training import RunSpec
from vccapp.training.record import RunRecord, load_run, write_run

LABELS = [f"G{i}" for i in range(20)]
VALIDATIONS = 4


class Kill(BaseException):
    """A kill of the driver."""


class FakeQueue:
    """
    objective : of a run's spec, the metric it ends with; its curve goes straight there
    failing, lost : ids of runs, or their numbers from the first, whose job fails, or is lost once
    begun : ids of runs in the order in which training jobs were started; resumed : those of resumed ones
    actions : changes so far; the driver is killed before and after the one of that number
    """

    def __init__(self, settings: Settings, objective: Callable[[RunSpec], float | None]) -> None:
        self.settings = settings
        self.objective = objective
        self.failing: Callable[[str], bool] = lambda run_id: False
        self.lost: set[str] = set()
        self.begun: list[str] = []
        self.resumed: list[str] = []
        self.at_once = 0
        self.kill_at = math.inf
        self.actions = 0
        self._done: dict[str, int] = {}

    def act(self) -> None:
        self.actions += 1
        if self.actions == self.kill_at:
            raise Kill

    def start_job(self, settings: Settings, task: Task) -> Job:
        self.act()
        with JobStore(settings) as store:
            job = store.create(task)
            store.move(job.id, "starting")
            store.move(job.id, "running", started=time.time())
        run_id = task.run_id
        if isinstance(task, Resume):
            self.resumed.append(run_id)
            self._write(load_run(run_id, settings).spec, run_id, "running")
        else:
            assert run_id not in self.begun, "one run was begun twice"
            self.begun.append(run_id)
            self._write(task.spec, run_id, "running")
        self._done.setdefault(run_id, 0)
        self.act()
        with JobStore(settings) as store:
            return store.get(job.id)

    def stop_job(self, settings: Settings, job_id: str) -> Job:
        with JobStore(settings) as store:
            job = store.get(job_id)
            if store.move(job_id, "stopped", reason="Stopped."):
                run = load_run(job.params["run_id"], settings)
                self._write(run.spec, run.id, "stopped")
            return store.get(job_id)

    def look(self, settings: Settings) -> None:
        """In place of `reconcile`: time goes by."""
        with JobStore(settings) as store:
            jobs = [job for job in store.find(state="running") if "run_id" in job.params]
            self.at_once = max(self.at_once, len(jobs))
            for job in reversed(jobs):
                self._move_on(store, job, job.params["run_id"])

    def kill_workers(self) -> None:
        """All at once; nobody has noticed yet."""
        with JobStore(self.settings) as store:
            for job in store.find(state="running"):
                store.move(job.id, "lost", reason="Killed.")

    def _move_on(self, store: JobStore, job: Job, run_id: str) -> None:
        spec = load_run(run_id, self.settings).spec
        if self.failing(run_id):
            self._write(spec, run_id, "failed")
            store.move(job.id, "failed", reason="It cannot work.")
            return
        if run_id in self.lost:
            self.lost.remove(run_id)
            store.move(job.id, "lost", reason="Killed.")
            return
        self._done[run_id] += 1
        done, value = self._done[run_id], self.objective(spec)
        with (self.settings.checkpoints / run_id / "metrics.jsonl").open("a") as log:
            own = (value or 0.0) * done / VALIDATIONS
            print(json.dumps({"step": 10 * done, "val_pearson_delta": own, "val_mae": own}), file=log)
        if done == VALIDATIONS:
            self._write(spec, run_id, "finished", value)
            store.move(job.id, "succeeded", result={"run": run_id})

    def _write(self, spec: RunSpec, run_id: str, state: str, value: float | None = None) -> None:
        folder = self.settings.checkpoints / run_id
        folder.mkdir(parents=True, exist_ok=True)
        # The test part says the contrary: a sweep that looked there would choose the worst.
        worst = None if value is None else -value
        metrics = {
            "val": {spec.model: {"pearson_delta": value, "mae": value}, "control_mean": {"pearson_delta": 9.0}},
            "test": {spec.model: {"pearson_delta": worst, "mae": worst}},
        }
        split = make_split(LABELS, name="s", dataset="d")
        shown = {"metrics": metrics if state == "finished" else {}, "created": datetime.now(UTC), "vccapp": "0"}
        write_run(RunRecord(id=run_id, spec=spec, split=split, state=state, **shown), folder)
