"""The driver of a sweep: asks for trials, queues their runs as ordinary jobs, follows them, and writes down their ends.

It may be killed at any moment. A trial stands in the record before its first run is queued, and the ids of runs follow
from its number; so the next driver finds the runs that are there, resumes those that were cut off, and goes on.
"""

import math
import time
from datetime import UTC, datetime
from typing import Any

import vccapp
from vccapp.data.lock import hold_lock
from vccapp.data.splits.folds import fold_split
from vccapp.data.splits.split import load_split, write_split
from vccapp.errors import JobError, SpecError, Stopped
from vccapp.jobs.local import reconcile, start_job, stop_job
from vccapp.jobs.store import Job, JobStore
from vccapp.progress import Progress
from vccapp.settings import Place, Settings
from vccapp.tasks.base import Task
from vccapp.tasks.resume import task_again
from vccapp.tasks.train import DeviceCount, Train
from vccapp.training.metrics_log import read_metrics
from vccapp.training.record import RunRecord, load_run, run_folder
from vccapp.training.sweeps.record import (
    FILE,
    SweepRecord,
    Trial,
    TrialRun,
    load_sweep,
    run_ids,
    sweep_folder,
    write_sweep,
)
from vccapp.training.sweeps.sampler import ask, is_due, is_pruned
from vccapp.training.sweeps.spec import SweepSpec
from vccapp.training.validation import PREFIX

POLL_SECONDS = 0.5
ATTEMPTS = 3
"""Jobs that may work for one run while a driver lives: what a lost one leaves is taken up by the next."""
MOST_FAILED = 5
"""The sweep ends when so many trials have failed and none has come to its end."""


def drive_sweep(
    sweep_id: str,
    spec: SweepSpec,
    settings: Settings,
    progress: Progress,
    *,
    devices: DeviceCount = None,
    on: Place = "here",
) -> None:
    """Work until every trial has ended. Raises Stopped, after it has asked the runs to stop; SpecError where another
    process drives the sweep; JobError where all trials fail."""
    folder = sweep_folder(sweep_id, settings)
    folder.mkdir(parents=True, exist_ok=True)
    busy = SpecError("sweep_busy", f"The sweep {sweep_id} goes on already", fix="wait until it ends, or stop it")
    with hold_lock(folder / "lock", busy=busy), JobStore(settings) as store:
        if (folder / FILE).exists():
            sweep = load_sweep(sweep_id, settings)
        else:
            about: dict[str, Any] = {"created": datetime.now(UTC), "vccapp": vccapp.__version__}
            about |= {"devices": devices, "on": on}
            sweep = SweepRecord(id=sweep_id, spec=spec, folder=folder, **about)
            write_sweep(sweep)
        Driver(sweep, settings, store).work(progress)


class Driver:
    """Holds the record of a sweep, which it alone writes."""

    def __init__(self, sweep: SweepRecord, settings: Settings, store: JobStore) -> None:
        self.sweep = sweep
        self.spec = sweep.spec
        self.settings = settings
        self.store = store
        self.split = load_split(self.spec.run.split, settings)
        self._attempts: dict[str, int] = {}
        self._judged: dict[int, int] = {}  # values of each trial's curve that the pruner has seen

    def work(self, progress: Progress) -> None:
        """Until every trial has ended."""
        if self.spec.folds:
            for fold in fold_split(self.split, self.spec.folds):
                write_split(fold, self.settings)
        try:
            self._take_up()
            while True:
                reconcile(self.settings)
                for trial in self.sweep.trials:
                    if trial.state == "running":
                        self._follow(trial)
                self._start_more()
                progress(*self._done())
                if self.sweep.finished:
                    return
                self._require_sense()
                time.sleep(POLL_SECONDS)
        except Stopped:
            self._stop_runs(self.sweep.trials)
            raise

    def _take_up(self) -> None:
        """Queue again what was under way when the last driver ended, where no job works for it any more."""
        for trial in self.sweep.trials:
            for run in trial.runs if trial.state == "running" else ():
                if run.state == "started" and not self._is_at_work(run) and self._finished(run) is None:
                    self._queue(trial.number, run)

    def _is_at_work(self, run: TrialRun) -> bool:
        job = self._job(run)
        return job is not None and job.active

    def _job(self, run: TrialRun) -> Job | None:
        """The last job of a run; looked for by the run's id where a driver was killed before it could note it."""
        try:
            if run.job:
                return self.store.get(run.job)
        except JobError:  # of another store, or removed
            pass
        found = self.store.find(task=("train", "resume"))
        return next((job for job in found if job.params.get("run_id") == run.id), None)

    def _finished(self, run: TrialRun) -> RunRecord | None:
        """The record of a run that has come to its end."""
        if not (run_folder(run.id, self.settings) / "run.json").is_file():
            return None
        found = load_run(run.id, self.settings)
        return found if found.state == "finished" else None

    def _follow(self, trial: Trial) -> None:
        """Look at the runs of a trial, and note what has changed."""
        runs, reason, state = list(trial.runs), "", ""
        for i, run in enumerate(runs):
            if run.state != "started":
                continue
            done, job = self._finished(run), self._job(run)
            if done is not None:
                value = done.metrics.get("val", {}).get(self.spec.run.model, {}).get(self.spec.metric)
                if value is None:
                    state, reason = "failed", f"The run {run.id} has no {self.spec.metric} on the val part."
                runs[i] = run.model_copy(update={"state": "finished", "value": value})
            elif job is not None and job.active:
                continue
            elif job is None or job.state == "lost":
                if self._attempts.get(run.id, 0) < ATTEMPTS:
                    self._queue(trial.number, run)
                    return
                state, reason = "failed", f"Its job was lost {ATTEMPTS} times. {job.reason if job else ''}".strip()
            else:
                state = "stopped" if job.state == "stopped" else "failed"
                reason = job.reason or f"The run {run.id} did not come to its end."
            if runs[i].state == "started":
                runs[i] = run.model_copy(update={"state": "ended"})
        changes: dict[str, object] = {}
        if tuple(runs) != trial.runs:
            changes["runs"] = tuple(runs)
        if state:
            changes |= {"state": state, "reason": reason}
        elif all(run.state == "finished" for run in runs):
            changes |= {"state": "finished", "value": sum(run.value or 0.0 for run in runs) / len(runs)}
        if self.spec.pruning != "none" and trial.runs[0].state == "started":
            changes |= self._judge(trial, over=runs[0].state == "finished")
        if changes.get("state") in ("pruned", "failed", "stopped"):
            self._stop_runs([trial])
            ended = [r.model_copy(update={"state": "ended"}) if r.state == "started" else r for r in runs]
            changes["runs"] = tuple(ended)
        if changes:
            self._note(trial.model_copy(update=changes))

    def _judge(self, trial: Trial, *, over: bool) -> dict[str, object]:
        """What the curve of a trial's first run changes: the curve itself, and its end where it is pruned.

        over : the run has ended, and is not pruned any more
        """
        curve = self._curve(trial.runs[0].id)
        noted = trial.noted
        for n in range(self._judged.get(trial.number, 0) + 1, len(curve) + 1):
            self._judged[trial.number] = n
            seen = trial.model_copy(update={"curve": curve[:n], "noted": noted})
            pruned, noted = is_pruned(self.spec, seen, self.sweep.trials)
            if pruned and not over:
                reason = f"Pruned at validation {n}: {self.spec.metric} of {_text(curve[n - 1])} promises too little."
                ended = {"value": curve[n - 1], "reason": reason, "state": "pruned"}
                return {"curve": curve[:n], "noted": noted, **ended}
        return {"curve": curve, "noted": noted} if over or noted != trial.noted else {}

    def _curve(self, run_id: str) -> tuple[float | None, ...]:
        """The metric at each validation after the first step; None where it was undefined."""
        frame = read_metrics(run_folder(run_id, self.settings))
        own = frame[(frame["name"] == PREFIX + self.spec.metric) & (frame["step"] > 0)]
        return tuple(None if value is None or math.isnan(value) else float(value) for value in own["value"])

    def _start_more(self) -> None:
        """Queue runs until as many as asked for are under way."""
        while self._n_under_way() < self.spec.at_once:
            if (waiting := self._next_run()) is not None:
                self._queue(*waiting)
            elif len(self.sweep.trials) < self.spec.n_trials and is_due(self.spec, self.sweep.trials):
                self._add_trial()
            else:
                return

    def _n_under_way(self) -> int:
        return sum(run.state == "started" for trial in self.sweep.trials for run in trial.runs)

    def _next_run(self) -> tuple[int, TrialRun] | None:
        """The first run that waits. Where the sweep prunes, the first run of a trial decides whether others start."""
        for trial in self.sweep.trials:
            if trial.state == "running":
                ready = self.spec.pruning == "none" or trial.runs[0].state == "finished"
                for run in trial.runs if ready else trial.runs[:1]:
                    if run.state == "waiting":
                        return trial.number, run
        return None

    def _add_trial(self) -> None:
        number = len(self.sweep.trials)
        params = ask(self.spec, number, self.sweep.trials)
        specs = self.spec.run_specs(params, split_name=self.split.name)
        ids = run_ids(self.sweep.id, number, len(specs))
        runs = tuple(TrialRun(id=id, split=s.split, seed=s.seed) for id, s in zip(ids, specs, strict=True))
        self._write(*self.sweep.trials, Trial(number=number, params=params, runs=runs))

    def _queue(self, number: int, run: TrialRun) -> None:
        """Note that a run is started, then start it; one that has a folder is resumed."""
        self._attempts[run.id] = self._attempts.get(run.id, 0) + 1
        self._change_run(number, run.model_copy(update={"state": "started", "job": ""}))
        job = start_job(self.settings, self._task(self.sweep.trials[number], run))
        self._change_run(number, run.model_copy(update={"state": "started", "job": job.id}))

    def _task(self, trial: Trial, run: TrialRun) -> Task[Any]:
        place = trial.runs.index(next(own for own in trial.runs if own.id == run.id))
        fields = self.spec.run_specs(trial.params, split_name=self.split.name)[place].model_dump()
        shared = {"devices": self.sweep.devices, "on": self.sweep.on}
        train = Train(run_id=run.id, run_title=fields.pop("title"), **shared, **fields)
        return task_again(train, self.settings)

    def _stop_runs(self, trials: tuple[Trial, ...] | list[Trial]) -> None:
        for trial in trials:
            for run in trial.runs:
                if run.state == "started" and run.job and self._is_at_work(run):
                    stop_job(self.settings, run.job)

    def _change_run(self, number: int, run: TrialRun) -> None:
        trial = self.sweep.trials[number]
        runs = tuple(run if own.id == run.id else own for own in trial.runs)
        self._note(trial.model_copy(update={"runs": runs}))

    def _note(self, trial: Trial) -> None:
        self._write(*(trial if own.number == trial.number else own for own in self.sweep.trials))

    def _write(self, *trials: Trial) -> None:
        self.sweep = self.sweep.model_copy(update={"trials": trials})
        write_sweep(self.sweep)

    def _require_sense(self) -> None:
        """Raises JobError where all trials fail."""
        trials = self.sweep.trials
        if self.sweep.count("failed") >= MOST_FAILED and not self.sweep.count("finished", "pruned"):
            last = [trial for trial in trials if trial.state == "failed"][-1]
            self._stop_runs(trials)
            problem = f"The first {self.sweep.count('failed')} trials of the sweep failed ({last.reason.rstrip('.')})"
            raise JobError("sweep_failing", problem, fix="mend what they lack, then start a new sweep")

    def _done(self) -> tuple[float, str]:
        """The fraction that is done, and what happens now."""
        sweep = self.sweep
        ended, best = sweep.count("finished", "pruned", "failed", "stopped"), sweep.best
        parts = [f"{ended:,} of {self.spec.n_trials:,} trials have ended"]
        parts += [f"{sweep.count(state)} {state}" for state in ("pruned", "failed", "stopped") if sweep.count(state)]
        if best is not None:
            parts.append(f"best {self.spec.metric} {_text(best.value)}")
        return ended / self.spec.n_trials, ", ".join(parts)


def _text(value: float | None) -> str:
    return "no value" if value is None else f"{value:.4g}"
