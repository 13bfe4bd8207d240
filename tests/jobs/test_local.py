"""Local jobs with real processes: from start to every way of ending."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import toy_tasks
from refusals import refusal
from toy_tasks import Crash, Echo, Full, Kill, Odd, Pool, Refuse, Stubborn, Unknown, Wait

from vccapp.data.lock import process_birth
from vccapp.errors import JobError
from vccapp.jobs import local
from vccapp.jobs.local import environment, is_alive, reconcile, start_job, start_parked, stop_job
from vccapp.jobs.store import PARKED, Job, JobStore
from vccapp.settings import Settings
from vccapp.tasks.base import TASKS, Task
from vccapp.tasks.demo import Demo

WORKER = (sys.executable, toy_tasks.__file__)


@pytest.fixture
def start(settings):
    """Start a toy task; whatever still runs at the end of the test is killed."""
    started = []

    def begin(task: Task, settings: Settings = settings) -> Job:
        job = start_job(settings, task, command=WORKER)
        started.append((job, settings))
        return job

    yield begin
    for job, _ in started:
        local.kill_processes(job.id)


def wait_for(settings: Settings, job: Job, *states: str, seconds: float = 10.0) -> Job:
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


def is_gone(pid: int, seconds: float = 3.0) -> bool:
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
    assert (job.state, job.title) == ("queued", "toy echo 1") and is_alive(job)
    done = wait_for(settings, job, "succeeded")
    assert done.result == {"said": {"label": " 1", "home": str(settings.home), "heavy": []}}
    assert (done.fraction, done.message, done.exit_code, done.reason) == (1.0, "the last word", 0, "")
    assert done.created < done.started < done.ended and done.heartbeat >= done.started
    log = log_of(settings, done)
    assert f"start: task echo, job {job.id}, process {job.pid}" in log and "end: succeeded after" in log
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
    jobs = [start(Full()), start(Odd()), start(Unknown())]
    full, odd, unknown = (wait_for(settings, job, "failed") for job in jobs)
    assert full.reason.startswith("The disk is full (") and "/data/x.h5ad" in full.reason
    assert [job.error_code for job in (full, odd, unknown)] == ["disk", "unexpected", "unexpected"]
    assert "Serialization" in odd.reason and odd.result is None
    assert "KeyError" in unknown.reason


def test_stop_ends_the_work_and_its_children(settings, start):
    job = start(Wait(child=True))
    child = int(wait_for_message(settings, job).message.split()[1])
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
    job = start(Stubborn())
    wait_for_message(settings, job)
    stop_job(settings, job.id)
    time.sleep(0.3)
    assert reconcile(settings) == [] and is_alive(job)
    done = wait_for(settings, job, "stopped", seconds=5)
    assert done.reason == "It did not stop in time and was killed." and done.exit_code == -signal.SIGKILL
    assert [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get(local.MARK) == job.id] == []


def test_sigterm_from_outside_stops(settings, start):
    job = start(Wait())
    wait_for_message(settings, job)
    os.kill(job.pid, signal.SIGTERM)
    assert wait_for(settings, job, "stopped").reason == "Stopped."


def test_a_killed_worker_is_lost_and_leaves_no_children(settings, start):
    job = start(Wait(child=True))
    child = int(wait_for_message(settings, job).message.split()[1])
    os.kill(job.pid, signal.SIGKILL)
    lost = wait_for(settings, job, "lost")
    assert "signal 9" in lost.reason and "memory" in lost.reason
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
    with refusal(JobError, "not_started"):
        start_job(settings, Demo(), command=("/no/such/python",))
    with JobStore(settings) as store:
        assert [job.state for job in store.find()] == ["failed"]


def test_a_process_with_a_reused_number_is_not_the_worker(settings):
    with JobStore(settings) as store:
        job = store.create(Wait())
        birth = process_birth(os.getpid())
        store.set_process(job.id, pid=os.getpid(), pid_created=birth)
        assert is_alive(store.get(job.id)) and reconcile(settings) == []
        store.set_process(job.id, pid=os.getpid(), pid_created=birth - 60)
        store.move(job.id, "starting")
        store.move(job.id, "running")
        (lost,) = reconcile(settings)
        assert (lost.id, lost.state) == (job.id, "lost") and "ended without a message" in lost.reason
        assert stop_job(settings, job.id).state == "lost"


def test_a_job_that_never_got_a_process_is_lost_in_the_end(settings, monkeypatch):
    with JobStore(settings) as store:
        job = store.create(Wait())
    assert reconcile(settings) == []
    monkeypatch.setattr(local, "START_SECONDS", 0.0)
    (lost,) = reconcile(settings)
    assert lost.id == job.id and "Start it again" in lost.reason


def test_queue_is_first_come_first_served_and_skips_the_stopped_and_the_dead(settings, start):
    one = settings.model_copy(update={"max_jobs": 1})
    first = start(Wait(), one)
    wait_for_message(one, first)
    stopped, dead, second, third = (start(task, one) for task in (Echo(), Echo(), Wait(), Echo()))
    time.sleep(0.6)
    with JobStore(one) as store:
        assert [job.state for job in store.find()] == ["queued"] * 4 + ["running"]
    assert stop_job(one, stopped.id).state == "stopped"
    os.kill(dead.pid, signal.SIGKILL)
    os.kill(first.pid, signal.SIGKILL)
    with JobStore(one) as store:
        give_up = time.monotonic() + 10
        while store.get(second.id).state != "running":  # no reconcile here: the waiting workers must see the dead
            assert time.monotonic() < give_up
            time.sleep(0.02)
        states = {job.id: job.state for job in store.find()}
    assert states[first.id] == states[dead.id] == "lost" and states[third.id] == "queued"
    assert is_gone(stopped.pid) and log_of(one, stopped).count("start:") == 0
    stop_job(one, second.id)
    done = wait_for(one, third, "succeeded")
    with JobStore(one) as store:
        assert store.get(second.id).ended <= done.started


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
    job = wait_for_message(settings, job)
    assert is_alive(job) and os.getsid(job.pid) == job.pid
    stop_job(settings, job.id)
    wait_for(settings, job, "stopped")


def test_two_workspaces_do_not_meet(settings, start, tmp_path):
    other = settings.model_copy(update={"home": tmp_path / "other", "max_jobs": 1})
    here, there = start(Wait()), start(Wait(), other)
    wait_for_message(settings, here)
    wait_for_message(other, there)
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


def test_ended_workers_do_not_stay_zombies(settings, start):
    job = start(Echo())
    wait_for(settings, job, "succeeded")
    give_up = time.monotonic() + 5
    while psutil.pid_exists(job.pid):
        assert time.monotonic() < give_up
        reconcile(settings)
    assert (settings.jobs_db, job.id) not in local._children


def test_parked_jobs_start_one_after_the_other_without_being_looked_at(settings, start):
    settings = settings.model_copy(update={"max_jobs": 1})
    first = start(Wait(), settings)
    wait_for_message(settings, first)
    with JobStore(settings) as store:
        parked = [store.create(Unknown(label=str(i)), pid=PARKED).id for i in range(3)]
        stopped = parked.pop(1)
        start_parked(settings)
        assert reconcile(settings) == []
        assert [(store.get(job).state, store.get(job).pid) for job in parked] == [("queued", PARKED)] * 2
        assert stop_job(settings, stopped).state == "stopped"
        stop_job(settings, first.id)
        give_up = time.monotonic() + 60
        while any(store.get(job).active for job in parked):  # nobody calls reconcile but the workers
            assert time.monotonic() < give_up
            time.sleep(0.05)
        ended = [store.get(job) for job in parked]
    assert [(job.state, "nothing" in job.reason) for job in ended] == [("failed", True)] * 2
    assert ended[0].ended <= ended[1].started and ended[0].pid != ended[1].pid
