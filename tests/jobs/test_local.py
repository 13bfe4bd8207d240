"""Local jobs with real processes: from start to every way of ending."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import toy_tasks
from refusals import refusal
from toy_tasks import TOYS, Crash, Echo, Full, Kill, Odd, Pool, Refuse, Stubborn, Unknown, Wait

from vccapp.data.lock import process_birth
from vccapp.errors import JobError, VccAppError
from vccapp.jobs.ending import ENDING, write_ending
from vccapp.jobs.host import MARK, find_processes, host_id, kill_processes
from vccapp.jobs.job import CLAIMED, Job, silent_seconds
from vccapp.jobs.keeping import launch
from vccapp.jobs.keeping.fate import is_alive, record_ends
from vccapp.jobs.keeping.launch import environment
from vccapp.jobs.keeping.place import is_kept, keeper_lock
from vccapp.jobs.local import list_queue, move_in_queue, reconcile, start_again, start_job, stop_all, stop_job
from vccapp.jobs.restore import describe_process
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Task, read_task
from vccapp.tasks.demo import Demo
from vccapp.tasks.resume import Resume
from vccapp.tasks.score import ScoreRun
from vccapp.tasks.sweep import Sweep
from vccapp.tasks.train import Train
from vccapp.training import RunSpec
from vccapp.training.sweeps.spec import make_sweep

WORKER = (sys.executable, toy_tasks.__file__)


@pytest.fixture
def start(settings):
    """Start a toy task; whatever waits or runs at the end of the test is stopped."""
    started = []

    def begin(task: Task, settings: Settings = settings) -> Job:
        job = start_job(settings, task, command=WORKER)
        started.append((job, settings))
        return job

    yield begin
    for job, place in started:
        with contextlib.suppress(VccAppError):  # of a test that damages the store
            stop_all(place)
        kill_processes(job.id)


def wait_for(settings: Settings, job: Job, *states: str, seconds: float = 60.0) -> Job:
    """The job as soon as it is in one of `states`, or in an end state."""
    give_up = time.monotonic() + seconds
    with JobStore(settings) as store:
        while (found := store.get(job.id)).state not in states:
            assert found.active, f"ended as {found.state}: {found.reason}\n{store.read_log(job.id)}"
            assert time.monotonic() < give_up, f"still {found.state}, not {states}\n{store.read_log(job.id)}"
            time.sleep(0.01)
            reconcile(settings)
    return found


def wait_for_message(settings: Settings, job: Job) -> Job:
    wait_for(settings, job, "running")
    with JobStore(settings) as store:
        while not (found := store.get(job.id)).message:
            time.sleep(0.01)
    return found


def wait_until(condition, seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def is_gone(pid: int, seconds: float = 30.0) -> bool:
    give_up = time.monotonic() + seconds
    while process_birth(pid) is not None:
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def log_of(settings: Settings, job: Job) -> str:
    with JobStore(settings) as store:
        return store.read_log(job.id)


def test_success(settings, start):
    job = start(Echo(label=" 1"))
    assert (job.state, job.title) == ("queued", "toy echo 1")
    done = wait_for(settings, job, "succeeded")
    assert done.result == {"said": {"label": " 1", "home": str(settings.home), "heavy": []}}
    assert (done.fraction, done.message, done.exit_code, done.reason) == (1.0, "the last word", 0, "")
    assert done.created < done.started < done.ended and done.heartbeat >= done.started
    log = log_of(settings, done)
    assert f"start: task echo, job {job.id}, process {done.pid}" in log and "end: succeeded after" in log
    assert stop_job(settings, job.id) == done


def test_progress_is_seen_while_running(settings, start):
    job = start(Wait())
    seen = wait_for_message(settings, job)
    assert (seen.state, seen.fraction, seen.message) == ("running", 0.5, "child 0")
    assert reconcile(settings) == []


def test_the_heart_beats_while_progress_stands_still(settings, start):
    job = start(Wait())
    first = wait_for_message(settings, job).heartbeat
    give_up = time.monotonic() + 5
    with JobStore(settings) as store:
        while store.get(job.id).heartbeat == first:
            assert time.monotonic() < give_up
            time.sleep(0.02)


def test_a_refusal_is_one_sentence_without_a_traceback(settings, start):
    job = wait_for(settings, start(Refuse()), "failed")
    assert (job.error_code, job.exit_code) == ("no_cells", 2)
    assert job.reason == "The file has no cells; choose another file."
    assert "Traceback" not in log_of(settings, job) and job.reason in log_of(settings, job)


def test_an_unexpected_error_leaves_its_traceback_in_the_log(settings, start):
    job = wait_for(settings, start(Crash()), "failed")
    assert job.error_code == "unexpected" and "ZeroDivisionError" in job.reason
    assert job.exit_code == 1
    log = log_of(settings, job)
    assert "Traceback" in log and "1 / 0" in log and "said before the crash" in log


def test_a_full_disk_an_odd_result_and_an_unknown_task(settings, start):
    full, odd, unknown = (wait_for(settings, start(task), "failed") for task in (Full(), Odd(), Unknown()))
    assert full.reason.startswith("The disk is full (") and "/data/x.h5ad" in full.reason
    assert [job.error_code for job in (full, odd, unknown)] == ["disk", "unexpected", "unexpected"]
    assert "Serialization" in odd.reason and odd.result is None
    assert "KeyError" in unknown.reason


def test_stop_ends_the_work_and_its_children(settings, start):
    job = start(Wait(child=True))
    job = wait_for_message(settings, job)
    child = int(job.message.split()[1])
    assert psutil.pid_exists(child)
    assert stop_job(settings, job.id).state in ("stopping", "stopped")
    stop_job(settings, job.id)
    done = wait_for(settings, job, "stopped")
    assert (done.reason, done.exit_code) == ("Stopped.", 0)
    assert is_gone(job.pid) and is_gone(child)
    assert "Traceback" not in log_of(settings, job)


def test_stop_reaches_forked_workers(settings, start):
    job = start(Pool())
    wait_for_message(settings, job)
    stop_job(settings, job.id)
    assert wait_for(settings, job, "stopped").reason == "Stopped."


def test_work_that_does_not_listen_is_killed_after_the_grace(settings, start):
    job = wait_for_message(settings, start(Stubborn()))
    stop_job(settings, job.id)
    time.sleep(0.3)
    assert reconcile(settings) == [] and is_alive(job)
    done = wait_for(settings, job, "stopped")
    assert done.reason == "It did not stop in time and was killed." and done.exit_code == -signal.SIGKILL
    assert find_processes(job.id) == []


def test_sigterm_from_outside_stops(settings, start):
    job = wait_for_message(settings, start(Wait()))
    os.kill(job.pid, signal.SIGTERM)
    assert wait_for(settings, job, "stopped").reason == "Stopped."


def test_a_killed_worker_is_lost_and_leaves_no_children(settings, start):
    job = wait_for_message(settings, start(Wait(child=True)))
    child = int(job.message.split()[1])
    os.kill(job.pid, signal.SIGKILL)
    lost = wait_for(settings, job, "lost")
    assert "signal 9" in lost.reason
    assert (lost.error_code, lost.exit_code) == ("killed", -9)
    assert is_gone(child)
    assert reconcile(settings) == []


def test_a_crash_below_python_names_its_signal(settings, start):
    job = wait_for(settings, start(Kill(number=int(signal.SIGSEGV))), "lost")
    assert "signal 11, SIGSEGV" in job.reason and job.exit_code == -11
    assert "Fatal Python error: Segmentation fault" in log_of(settings, job)


def test_a_worker_that_cannot_even_begin_is_lost(settings):
    job = start_job(settings, Demo(), command=(sys.executable, "-c", "import no_such_module"))
    lost = wait_for(settings, job, "lost")
    assert "exit code 1" in lost.reason and "no_such_module" in log_of(settings, lost)


def test_a_worker_under_a_wrong_setting_refuses(settings):
    for variable, value in (("VCCAPP_MEMORY_GB", "abc"), ("VCCAPP_DEVICE", "gpu")):
        done = subprocess.run(
            [sys.executable, "-m", "vccapp.jobs.worker", "20250101-000000-abcdef"],
            env=os.environ | environment(settings) | {variable: value},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert f"{variable} is '{value}'" in done.stderr


def test_a_worker_that_cannot_be_started_is_failed(settings):
    job = wait_for(settings, start_job(settings, Demo(), command=("/no/such/python",)), "failed")
    assert job.error_code == "not_started"


def test_a_keeper_that_cannot_be_started_fails_the_job(settings, monkeypatch):
    monkeypatch.setattr(launch.sys, "executable", "/no/such/python")
    with refusal(JobError, "not_started"):
        start_job(settings, Demo())
    with JobStore(settings) as store:
        assert [job.state for job in store.find()] == ["failed"]


def test_a_process_with_a_reused_number_is_not_the_worker_and_gets_no_signal(settings):
    """Not even one that began at the same time since the boot: the mark of the job is missing."""
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    with JobStore(settings) as store:
        job = store.create(Wait())
        store.move(job.id, "starting")
        store.move(job.id, "running")
        store.set_process(job.id, **describe_process(other.pid))
        assert not is_alive(store.get(job.id))
        assert stop_job(settings, job.id).state == "lost"
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_worker_that_is_ending_is_not_judged_before_its_exit_code_is_known(settings):
    """A process that dumps its memory shows no mark any more, and its parent has no code yet."""
    with JobStore(settings) as store:
        gone = subprocess.Popen(["true"])
        gone.wait()
        job = store.create(Wait())
        store.move(job.id, "starting")
        store.move(job.id, "running", **describe_process(os.getpid()) | {"pid": gone.pid})
        assert record_ends(store, {job.id: None}) == []
        (lost,) = record_ends(store, {job.id: -signal.SIGSEGV})
    assert (lost.state, lost.error_code, lost.exit_code) == ("lost", "crashed", -11)


def test_a_machine_that_was_restarted_has_lost_its_jobs(settings):
    with JobStore(settings) as store:
        job = store.create(Wait())
        store.move(job.id, "starting")
        store.move(job.id, "running")
        store.set_process(job.id, **describe_process(os.getpid()) | {"boot": "another one"})
        (lost,) = record_ends(store, {})
    assert (lost.id, lost.state, lost.error_code) == (job.id, "lost", "rebooted")


def test_a_job_of_another_machine_is_not_judged(settings):
    with JobStore(settings) as store:
        job = store.create(Wait())
        store.move(job.id, "starting")
        store.move(job.id, "running", heartbeat=time.time())
        store.set_process(job.id, pid=2**22, pid_created=0.0, host="elsewhere 0 1", boot="another one", beat=5.0)
        assert record_ends(store, {}) == [] == reconcile(settings)
        assert stop_job(settings, job.id).state == "stopping"  # its own machine sees it
        store.report(job.id, fraction=0.1, message="", now=time.time() - 3600)
        store.set_process(job.id, boot="another one")
        given_up = stop_job(settings, job.id)
    assert (given_up.state, given_up.error_code) == ("lost", "unseen") and "elsewhere" in given_up.reason


def test_what_a_keeper_took_and_could_not_start_waits_again(settings, start):
    """kill -9 of the keeper between its claim and the start of the worker."""
    with JobStore(settings) as store:
        gone = subprocess.Popen(["true"])
        gone.wait()
        job = store.create(Echo())
        store.move(job.id, "starting", **describe_process(gone.pid))
        assert record_ends(store, {}) == []
        assert store.get(job.id).state == "queued"
        start(Echo(label="another"))
        assert wait_for(settings, job, "succeeded").state == "succeeded"
        assert [event.state for event in store.events(job.id)] == [
            "queued",
            "starting",
            "queued",
            "starting",
            "running",
            "succeeded",
        ]


def test_a_worker_killed_between_its_result_and_the_word_done_has_succeeded(settings, start):
    job = wait_for_message(settings, start(Wait()))
    write_ending(settings.jobs / job.id / ENDING, "succeeded", {"ended": 1.0, "exit_code": 0, "result": {"said": 5}})
    os.kill(job.pid, signal.SIGKILL)
    done = wait_for(settings, job, "succeeded")
    assert done.result == {"said": 5} and done.reason == ""


def test_queue_is_first_come_first_served_and_nobody_looks(settings, start):
    one = settings.model_copy(update={"max_jobs": 1})
    first = wait_for_message(one, start(Wait(), one))
    stopped, second, third = (start(task, one) for task in (Echo(label="a"), Wait(label="b"), Echo(label="c")))
    with JobStore(one) as store:
        wait_until(lambda: "slot" in store.get(stopped.id).waits and "behind" in store.get(third.id).waits)
        assert [job.state for job in store.find()] == ["queued"] * 3 + ["running"]
        assert stop_job(one, stopped.id).state == "stopped"
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: store.get(second.id).state == "running")  # no reconcile here
        assert [store.get(job.id).state for job in (first, third)] == ["lost", "queued"]
        stop_job(one, second.id)
        done = wait_for(one, third, "succeeded")
        assert log_of(one, stopped) == "" and store.get(second.id).ended <= done.started and done.waits == ""


def test_places_in_the_queue(settings, start):
    one = settings.model_copy(update={"max_jobs": 1})
    running = wait_for_message(one, start(Wait(), one))
    a, b, c = (start(Wait(label=label), one) for label in "abc")
    assert [job.id for job in list_queue(one)] == [running.id, a.id, b.id, c.id]
    move_in_queue(one, c.id, first=True)
    move_in_queue(one, a.id, first=False)
    assert [job.id for job in list_queue(one)] == [running.id, c.id, b.id, a.id]
    with refusal(JobError, "not_waiting"):
        move_in_queue(one, running.id, first=True)
    assert {job.state for job in stop_all(one)} <= {"stopped", "stopping"}
    wait_for(one, running, "stopped")
    with JobStore(one) as store:
        assert {store.get(job.id).started for job in (a, b, c)} == {None}


def test_the_same_again_is_one_job(settings, start):
    first, second, other = start(Wait()), start(Wait()), start(Wait(label="other"))
    assert first.id == second.id != other.id
    stop_job(settings, first.id)
    wait_for(settings, first, "stopped")
    assert start(Wait()).id != first.id


def test_one_job_after_another(settings, start):
    first = start(Wait())
    second = start_job(settings, Echo(), after=[first.id], command=WORKER)
    third = start_job(settings, Echo(label="3"), after=[second.id], command=WORKER)
    wait_for_message(settings, first)
    with JobStore(settings) as store:
        wait_until(lambda: "has succeeded" in store.get(second.id).waits)
    stop_job(settings, first.id)
    for job in (second, third):
        assert wait_for(settings, job, "failed").error_code == "not_started"
    with refusal(JobError, "unknown_job"):
        start_job(settings, Echo(), after=["20260101-000000-aaaaaa"], command=WORKER)
    first = start(Echo(label="first"))
    assert wait_for(settings, start_job(settings, Echo(label="2"), after=[first.id], command=WORKER), "succeeded")
    with JobStore(settings) as store:
        assert store.get(first.id).state == "succeeded"


def test_start_again(settings, start, monkeypatch):
    monkeypatch.setattr("vccapp.jobs.job.read_task", partial(read_task, tasks=TOYS))
    failed = wait_for(settings, start(Refuse()), "failed")
    again = start_again(settings, failed.id, command=WORKER)
    assert again.id != failed.id and wait_for(settings, again, "failed").error_code == "no_cells"
    done = wait_for(settings, start(Echo()), "succeeded")
    with refusal(JobError, "nothing_to_start"):
        start_again(settings, done.id, command=WORKER)


def test_memory_planned_together_never_exceeds_the_machine(settings, start):
    small = settings.model_copy(update={"machine_gb": 1.0, "max_jobs": 8})
    jobs = [start(Wait(label=str(i), memory_bytes=400_000_000), small) for i in range(4)]
    with JobStore(small) as store:
        wait_until(lambda: len(store.find(state="running")) == 2)
        wait_until(lambda: "memory" in store.get(jobs[2].id).waits)
        for _ in range(20):
            assert sum(job.needs.memory_bytes for job in store.find(state=CLAIMED)) <= 1e9
            time.sleep(0.05)
        stop_all(small)
        for job in jobs:
            wait_for(small, job, "stopped")


def test_a_frozen_worker_is_said_to_be_so_and_stop_ends_it(settings, start):
    job = wait_for_message(settings, start(Wait(child=True)))
    child = int(job.message.split()[1])
    os.kill(job.pid, signal.SIGSTOP)
    with JobStore(settings) as store:
        wait_until(lambda: silent_seconds(store.get(job.id)))
        stop_job(settings, job.id)
        wait_until(lambda: store.get(job.id).state == "stopped")
    assert is_gone(job.pid) and is_gone(child)


def test_stop_by_force_leaves_no_child(settings, start):
    job = wait_for_message(settings, start(Stubborn()))
    stop_job(settings, job.id, force=True)
    assert wait_for(settings, job, "stopped").reason and find_processes(job.id) == []


def test_stop_is_seen_in_the_store_alone(settings, start):
    """As it is asked for on another machine, which cannot send signals here."""
    job = wait_for_message(settings, start(Wait()))
    with JobStore(settings) as store:
        store.move(job.id, "stopping")
    assert wait_for(settings, job, "stopped").reason == "Stopped."


def test_a_killed_keeper_is_replaced_at_a_look_and_knows_its_jobs(settings, start):
    one = settings.model_copy(update={"max_jobs": 1})
    job = wait_for_message(one, start(Wait(), one))
    waiting = start(Echo(), one)
    keeper, _ = launch._keepers[keeper_lock(one, host_id())]
    keeper.kill()
    keeper.wait()
    os.kill(job.pid, signal.SIGKILL)
    assert is_gone(job.pid)
    (lost,) = reconcile(one)
    assert (lost.id, lost.state) == (job.id, "lost")
    wait_for(one, waiting, "failed")  # by the standard worker, which does not know the toys


def test_a_deleted_store_comes_back_with_its_jobs(settings, start):
    settings = settings.model_copy(update={"max_jobs": 1})
    done = wait_for(settings, start(Echo(), settings), "succeeded")
    job = wait_for_message(settings, start(Wait(), settings))
    waiting, stopped = start(Echo(label="waits"), settings), start(Echo(label="stopped"), settings)
    stop_job(settings, stopped.id)
    for path in settings.home.glob("jobs.db*"):
        path.unlink()
    with JobStore(settings) as store:
        found = {job.id: job for job in store.find()}
        assert found[job.id].state == "running" and found[job.id].pid == job.pid
        assert (found[waiting.id].state, found[stopped.id].state) == ("queued", "stopped")
        assert (found[done.id].state, found[done.id].result) == ("succeeded", done.result)
        wait_until(lambda: store.get(job.id).message)  # its worker reports here now
    stop_job(settings, job.id)
    wait_for(settings, job, "stopped")
    wait_for(settings, waiting, "succeeded")


def test_a_store_that_is_deleted_while_it_is_open_is_seen_to_be(settings):
    with JobStore(settings) as store:
        job = store.create(Echo())
        assert not store.is_replaced() and [path.name for path in settings.home.glob("jobs.db-[!j]*")] == []
        settings.jobs_db.unlink()
        assert store.is_replaced()
        with JobStore(settings) as other:
            other.move(job.id, "stopped")
        assert store.is_replaced()
        store.reopen()
        assert store.get(job.id).state == "stopped" and not store.is_replaced()


def test_a_worker_that_begins_while_the_store_is_deleted_can_end(settings):
    """What it wrote when it began went to the file that is gone."""
    with JobStore(settings) as store:
        job = store.create(Echo())
        store.move(job.id, "starting")
        assert store.move(job.id, "succeeded") and store.get(job.id).state == "succeeded"


def test_fifty_jobs_that_wait_cost_little(settings, start):
    one = settings.model_copy(update={"max_jobs": 1})
    wait_for_message(one, start(Wait(), one))
    for i in range(50):
        start(Echo(label=str(i)), one)
    process = psutil.Process(launch._keepers[keeper_lock(one, host_id())][0].pid)
    workers = [child for child in process.children(recursive=True) if child.environ().get(MARK)]
    assert len(workers) == 1
    assert process.memory_info().rss < 200e6


def test_a_job_outlives_the_process_that_started_it(settings):
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(toy_tasks.__file__).parent)!r})
        from toy_tasks import Wait
        from vccapp.jobs.local import start_job
        from vccapp.settings import Settings
        print(start_job(Settings(), Wait(), command={WORKER!r}).id)
    """
    parent = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment(settings),
        capture_output=True,
        text=True,
        check=True,
    )
    assert parent.stderr == ""
    with JobStore(settings) as store:
        job = store.get(parent.stdout.strip())
    wait_until(lambda: is_kept(keeper_lock(settings, host_id())))  # else a look starts one with the usual command
    job = wait_for_message(settings, job)
    assert is_alive(job) and os.getsid(job.pid) == job.pid
    stop_job(settings, job.id)
    wait_for(settings, job, "stopped")


def test_two_workspaces_do_not_meet(settings, start, tmp_path):
    other = settings.model_copy(update={"home": tmp_path / "other", "max_jobs": 1})
    here, there = start(Wait()), start(Wait(), other)
    wait_for_message(settings, here)
    there = wait_for_message(other, there)
    os.kill(there.pid, signal.SIGKILL)
    assert is_gone(there.pid)
    assert reconcile(settings) == []
    assert wait_for(other, there, "lost").exit_code == -9
    with JobStore(settings) as store:
        assert [job.id for job in store.find()] == [here.id]
        with refusal(JobError, "unknown_job"):
            store.get(there.id)


def test_environment_gives_the_same_settings_back(settings, monkeypatch, tmp_path):
    given = settings.model_copy(update={"data_roots": (tmp_path, tmp_path / "b"), "memory_gb": 2.5, "max_jobs": 7})
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    assert Settings() == given


def test_the_tasks_and_their_imports_are_light():
    assert {"demo", "index", "train", "build"} <= set(TASKS)
    code = (
        "import sys; import vccapp.jobs.worker; from vccapp.tasks.base import TASKS; list(TASKS);"
        "print(sorted({'numpy', 'pandas', 'h5py', 'torch', 'anndata', 'streamlit'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_standard_worker_knows_its_tasks(settings):
    done = wait_for(settings, start_job(settings, Unknown()), "failed")
    assert done.error_code == "unknown_name" and "index" in done.reason


def test_a_sweep_that_is_stopped_by_force_takes_its_runs_with_it_and_no_other_job(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vccapp.jobs.local.reconcile", lambda settings: [])  # no keeper: nothing starts
    spec = make_sweep(RunSpec(model="ridge", dataset="d", split="s"), {"strength": [1, 2]}, {}, sampler="grid")
    train = Train(model="ridge", dataset="d", split="s")
    with JobStore(settings) as store:
        sweep = store.create(Sweep.of(spec, sweep_id="the-sweep"))
        works = store.create(train.model_copy(update={"run_id": "the-sweep-001"}))
        waits = store.create(Resume(run_id="the-sweep-002"))
        others = [
            store.create(train.model_copy(update={"run_id": "alone"})),
            store.create(ScoreRun(run_id="the-sweep-001")),
        ]
        for job in (sweep, works, *others):
            assert store.move(job.id, "starting") and store.move(job.id, "running")
        stop_job(settings, sweep.id, force=True)
        states = [store.get(job.id).state for job in (works, waits, *others)]
    assert states == ["stopping", "stopped", "running", "running"]
