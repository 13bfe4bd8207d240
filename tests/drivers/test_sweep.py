"""The driver of a sweep: every trial once, whenever it is killed; ends told as they were; the values of the runs."""

import pytest
from refusals import refusal
from sweep_queue import VALIDATIONS, FakeQueue, Kill

from vccapp.data.lock import hold_lock
from vccapp.data.splits.split import list_splits, load_split
from vccapp.drivers.sweep import ATTEMPTS, MOST_FAILED, drive_sweep
from vccapp.errors import JobError, SpecError, Stopped
from vccapp.jobs.store import JobStore
from vccapp.progress import silent
from vccapp.settings import Settings
from vccapp.training import RunSpec, list_runs, load_run
from vccapp.training.sweeps.record import SweepRecord, load_sweep
from vccapp.training.sweeps.sampler import ask
from vccapp.training.sweeps.spec import SweepSpec, make_sweep

RUN = RunSpec(model="scouter", dataset="d", split="s")
RANGES = {"learning_rate": "1e-3,1,log", "gamma": "0,2"}


def sweep(**chosen: object) -> SweepSpec:
    return make_sweep(RUN, {}, RANGES, **({"n_trials": 24, "sampler": "random"} | chosen))


def drive(spec: SweepSpec, settings: Settings) -> SweepRecord:
    drive_sweep("x", spec, settings, silent)
    return load_sweep("x", settings)


def assert_whole(found: SweepRecord, settings: Settings, queue: FakeQueue) -> None:
    """Every trial once, with the runs that it names and no others, and their values."""
    spec = found.spec
    assert [trial.number for trial in found.trials] == list(range(spec.n_trials))
    ids = [run.id for trial in found.trials for run in trial.runs]
    assert len(set(ids)) == len(ids) == spec.n_runs
    assert sorted(run.id for run in list_runs(settings)) == sorted(ids)
    for trial in found.trials:
        if trial.state == "finished":
            runs = [load_run(run.id, settings) for run in trial.runs]
            values = [run.metrics["val"]["scouter"][spec.metric] for run in runs]
            assert trial.value == pytest.approx(sum(values) / len(values))
            assert [run.value for run in trial.runs] == values
            assert all(run.spec.params.items() >= trial.params.items() for run in runs)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_every_trial_comes_to_its_end(sampler: str, settings: Settings, queue: FakeQueue) -> None:
    found = drive(sweep(sampler=sampler), settings)
    assert_whole(found, settings, queue)
    assert found.finished and {trial.state for trial in found.trials} == {"finished"}
    assert queue.at_once == 2
    assert found.best is not None
    assert found.best.params["learning_rate"] == max(trial.params["learning_rate"] for trial in found.trials)
    before = []
    for trial in found.trials:  # what the sampler gives without a driver
        assert trial.params == ask(found.spec, trial.number, before)
        before.append(trial)


def test_a_grid_tries_every_combination(settings: Settings, queue: FakeQueue) -> None:
    spec = make_sweep(RUN, {"learning_rate": [0.1, 0.2], "gamma": [0, 1, 2]}, {}, sampler="grid", metric="mae")
    found = drive(spec, settings)
    assert_whole(found, settings, queue)
    assert [trial.params for trial in found.trials] == spec.combinations()
    assert found.best is not None and found.best.number == 0  # of equal and lowest error the first


def test_the_objective_is_the_mean_over_seeds_and_folds(settings: Settings, queue: FakeQueue) -> None:
    queue.objective = lambda spec: spec.seed + 10 * int(spec.split.partition("-fold")[2][0])
    found = drive(sweep(n_trials=2, seeds=(0, 1), folds=3), settings)
    assert_whole(found, settings, queue)
    assert [trial.value for trial in found.trials] == [20.5, 20.5]
    test = load_split("s", settings).test
    folds = [split for split in list_splits(settings) if "-fold" in split.name]
    assert len(folds) == 3 and all(split.test == test for split in folds)


def kill_everywhere(spec: SweepSpec, settings: Settings, queue: FakeQueue, *, workers: bool) -> SweepRecord:
    """Drive a sweep whose driver is killed again and again, each time a few changes later than the last time."""
    kills, later = 0, 1
    while True:
        queue.kill_at = queue.actions + later
        try:
            found = drive(spec, settings)
        except Kill:
            kills, later = kills + 1, later % 31 + 1
            if workers:
                queue.kill_workers()
            continue
        assert kills > 10
        return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [False, True])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_driver_that_is_killed_at_any_change_loses_and_doubles_nothing(
    sampler: str, workers: bool, settings: Settings, queue: FakeQueue
) -> None:
    spec = sweep(sampler=sampler)
    found = kill_everywhere(spec, settings, queue, workers=workers)
    assert_whole(found, settings, queue)
    assert {trial.state for trial in found.trials} == {"finished"}
    assert len(queue.begun) == 24
    before = []
    for trial in found.trials:
        assert trial.params == ask(spec, trial.number, before)
        before.append(trial)
    with JobStore(settings) as store:
        assert not store.find(state="running")


@pytest.mark.slow
def test_killed_trials_of_several_runs_are_whole(settings: Settings, queue: FakeQueue) -> None:
    found = kill_everywhere(sweep(n_trials=5, seeds=(0, 1), folds=3), settings, queue, workers=True)
    assert_whole(found, settings, queue)


def test_a_lost_worker_is_replaced_while_the_driver_lives(settings: Settings, queue: FakeQueue) -> None:
    queue.lost = {"x-002", "x-004"}
    found = drive(sweep(n_trials=5), settings)
    assert_whole(found, settings, queue)
    assert queue.resumed == ["x-002", "x-004"] and {trial.state for trial in found.trials} == {"finished"}


def test_one_that_is_lost_again_and_again_fails(
    settings: Settings, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_on = queue._move_on

    def lose(store: JobStore, job: object, run_id: str) -> None:
        if run_id == "x-002":
            queue.lost.add(run_id)
        move_on(store, job, run_id)

    monkeypatch.setattr(queue, "_move_on", lose)
    found = drive(sweep(n_trials=4), settings)
    assert [trial.state for trial in found.trials] == ["finished", "failed", "finished", "finished"]
    assert len(queue.resumed) == ATTEMPTS - 1 and "Killed." in found.trials[1].reason


def test_a_trial_that_fails_says_why_and_the_others_go_on(settings: Settings, queue: FakeQueue) -> None:
    queue.failing = lambda run_id: run_id in ("x-001-2", "x-003-1")
    found = drive(sweep(n_trials=4, seeds=(0, 1)), settings)
    assert [trial.state for trial in found.trials] == ["failed", "finished", "failed", "finished"]
    assert [trial.reason for trial in found.trials] == ["It cannot work.", "", "It cannot work.", ""]
    with JobStore(settings) as store:
        assert not store.find(state="running")  # the other run of a failed trial is stopped
    assert found.best is not None and found.best.number in (1, 3)


def test_a_run_without_the_metric_is_no_value(settings: Settings, queue: FakeQueue) -> None:
    queue.objective = lambda spec: None if spec.title.startswith("odd") else 1.0
    found = drive(sweep(n_trials=2), settings)
    assert {trial.state for trial in found.trials} == {"finished"}
    queue.objective = lambda spec: None
    drive_sweep("y", sweep(n_trials=2), settings, silent)
    assert {trial.state for trial in load_sweep("y", settings).trials} == {"failed"}


def test_a_sweep_of_which_all_fails_ends(settings: Settings, queue: FakeQueue) -> None:
    queue.failing = lambda run_id: True
    with refusal(JobError, "sweep_failing"):
        drive(sweep(), settings)
    found = load_sweep("x", settings)
    assert MOST_FAILED <= found.count("failed") <= MOST_FAILED + 1


@pytest.mark.slow
def test_a_stopped_sweep_stops_its_runs_and_goes_on(settings: Settings, queue: FakeQueue) -> None:
    def stop_half_way(fraction: float, message: str = "") -> None:
        if fraction >= 0.5:
            raise Stopped

    with pytest.raises(Stopped):
        drive_sweep("x", sweep(), settings, stop_half_way)
    half = load_sweep("x", settings)
    assert 0 < half.count("running") <= 2 and not half.finished
    with JobStore(settings) as store:
        assert not store.find(state="running")
        assert len(store.find(state="stopped")) == half.count("running")
    found = drive(sweep(), settings)
    assert_whole(found, settings, queue)
    assert {trial.state for trial in found.trials} == {"finished"}
    assert len(queue.resumed) == half.count("running")


def test_a_run_that_a_person_stops_ends_its_trial(settings: Settings, queue: FakeQueue) -> None:
    def stop_the_third(fraction: float, message: str = "") -> None:
        with JobStore(settings) as store:
            for job in store.find(state="running"):
                if job.params["run_id"] == "x-003":
                    queue.stop_job(settings, job.id)

    drive_sweep("x", sweep(n_trials=5), settings, stop_the_third)
    found = load_sweep("x", settings)
    assert [trial.state for trial in found.trials] == ["finished", "finished", "stopped", "finished", "finished"]


@pytest.mark.slow
@pytest.mark.parametrize("pruning", ["median", "hyperband"])
def test_pruned_trials_say_so_and_their_runs_are_stopped(pruning: str, settings: Settings, queue: FakeQueue) -> None:
    found = drive(sweep(pruning=pruning, seeds=(0, 1)), settings)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    finished = [trial for trial in found.trials if trial.state == "finished"]
    assert len(pruned) + len(finished) == 24 and pruned and finished
    for trial in pruned:
        assert trial.reason and len(trial.curve) < VALIDATIONS and trial.value == trial.curve[-1]
        assert load_run(trial.runs[0].id, settings).state == "stopped"
        assert trial.runs[1].state == "waiting"  # the first run decides whether the others start
    assert all(len(trial.curve) == VALIDATIONS for trial in finished)
    assert found.best is not None
    assert found.best.params["learning_rate"] == max(trial.params["learning_rate"] for trial in finished)
    if pruning == "median":
        rates = [trial.params["learning_rate"] for trial in found.trials]
        assert max(t.params["learning_rate"] for t in pruned) < max(rates)
    with JobStore(settings) as store:
        assert not store.find(state="running")


def test_two_drivers_never_share_a_sweep(settings: Settings, queue: FakeQueue) -> None:
    folder = settings.sweeps / "x"
    folder.mkdir(parents=True)
    with hold_lock(folder / "lock"), refusal(SpecError, "sweep_busy"):
        drive(sweep(), settings)
    assert not queue.begun
