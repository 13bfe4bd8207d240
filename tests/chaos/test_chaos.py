"""Kills, stops, frozen processes and lost files at random moments of a full queue: no job is lost, stuck, started twice
or told wrongly, and no process is left over.

    ROUNDS=200 python -m pytest tests/chaos        so many rounds; 20 by default
"""

import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import toy_tasks
from toy_tasks import Echo, Steps

from vccapp.jobs.host import MARK, host_id, kill_processes
from vccapp.jobs.job import ACTIVE, CLAIMED, Event, Job
from vccapp.jobs.keeping import launch
from vccapp.jobs.keeping.place import keeper_lock, read_sign
from vccapp.jobs.local import reconcile, start_job, stop_job
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("ROUNDS", "20"))
WORKER = (sys.executable, toy_tasks.__file__)
ALLOWED = {
    "kill worker": {"lost"},
    "term worker": {"stopped"},
    "freeze and stop": {"stopped"},
    "stop": {"stopped"},
    "force": {"stopped"},
    "stop while waiting": {"stopped"},
}
"""How a job may end to which this was done; all others succeed."""
FAULTS = (*ALLOWED, "kill keeper", "freeze keeper", "kill keeper and worker", "delete store", "start twice", "no fault")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Settings]:
    yield (settings := Settings(home=tmp_path / "home", checkpoints=tmp_path / "runs", max_jobs=2))
    with JobStore(settings) as store:
        for job in store.find(state=ACTIVE):
            store.move(job.id, "stopped", ended=0.0)
            kill_processes(job.id)


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def marked(settings: Settings) -> list[psutil.Process]:
    """The processes of jobs of this workspace."""
    every = [(process, process.info["environ"] or {}) for process in psutil.process_iter(["environ"])]
    return [process for process, env in every if MARK in env and env.get("VCCAPP_HOME") == str(settings.home)]


def keeper_pid(settings: Settings) -> int:
    return int(read_sign(keeper_lock(settings, host_id())).get("pid", 0))


def signal_keeper(settings: Settings, number: int) -> None:
    pid = keeper_pid(settings)
    if pid and launch.KEEPER in " ".join(psutil.Process(pid).cmdline()):
        os.kill(pid, number)


def running(settings: Settings) -> Job | None:
    with JobStore(settings) as store:
        return next(iter(store.find(state="running")), None)


def disturb(fault: str, settings: Settings, jobs: list[Job], rng: random.Random) -> str:
    """Do it; the id of the job that it was done to, if it was one."""
    time.sleep(rng.uniform(0, 0.6))
    if fault == "delete store":
        for path in settings.home.glob("jobs.db*"):
            path.unlink(missing_ok=True)
        return ""
    if fault == "start twice":
        again = start_job(settings, Steps(label="0"), command=WORKER)
        with JobStore(settings) as store:
            if store.get(jobs[0].id).active:
                assert again.id == jobs[0].id
        return "" if again.id == jobs[0].id else again.id
    if fault == "stop while waiting":
        stopped = stop_job(settings, jobs[-1].id)
        return stopped.id if stopped.state in ("stopped", "stopping") else ""
    if fault in ("kill keeper", "freeze keeper"):
        signal_keeper(settings, signal.SIGKILL if fault == "kill keeper" else signal.SIGSTOP)
        return ""
    wait_until(lambda: running(settings), "nothing runs")
    job = running(settings)
    if job is None or job.pid is None or fault == "no fault":
        return ""
    try:
        if fault == "kill keeper and worker":
            signal_keeper(settings, signal.SIGKILL)
        if fault.startswith("kill"):
            os.kill(job.pid, signal.SIGKILL)
        if fault == "term worker":
            os.kill(job.pid, signal.SIGTERM)
        if fault == "freeze and stop":
            os.kill(job.pid, signal.SIGSTOP)
    except ProcessLookupError:
        return ""
    if "stop" in fault or fault == "force":
        stop_job(settings, job.id, force=fault == "force")
    return job.id


@pytest.mark.timeout(60 * ROUNDS + 600)
def test_no_job_is_lost_stuck_started_twice_or_told_wrongly(queue: Settings) -> None:
    told: collections.Counter[str] = collections.Counter()
    rng = random.Random(f"chaos {os.environ.get('SEED', 0)}")
    for number in range(ROUNDS):
        fault = FAULTS[number % len(FAULTS)] if number < len(FAULTS) else rng.choice(FAULTS)
        where = f"round {number}: {fault}"
        jobs = [start_job(queue, Steps(label=str(i)), command=WORKER) for i in range(3)]
        jobs.append(start_job(queue, Echo(), after=[jobs[1].id], command=WORKER))
        hit = disturb(fault, queue, jobs, rng)
        with JobStore(queue) as store:

            def ended(jobs: list[Job] = jobs, fault: str = fault, where: str = where) -> bool:
                launch.ensure_keeper(queue, WORKER)  # a look, by somebody who knows the toys
                store.reopen() if store.is_replaced() else None
                if fault != "delete store":  # there a worker may start twice, of which one ends at once
                    assert len(store.find(state=CLAIMED)) <= 2, where
                return not any(store.get(job.id).active for job in jobs)

            wait_until(ended, f"{where}: {[(job.state, job.title, job.waits) for job in store.find(state=ACTIVE)]}")
            found = [store.get(job.id) for job in jobs]
            starts = collections.Counter(event.state for job in found for event in store.events(job.id))
        for job in found:
            allowed = {"succeeded"}
            if job.id == hit:
                allowed = ALLOWED.get(fault, {"lost"}) | {"succeeded"}
            elif hit in job.after:
                allowed = {"failed", "succeeded"}
            assert job.state in allowed, f"{where}: {job.title} is {job.state}: {job.reason}"
            assert job.state == "succeeded" or job.reason, where
            if job.state == "succeeded" and job.task == "steps":  # each step once, in order
                lines = (queue.home / f"steps {job.id}").read_text().split()
                assert lines == [str(i) for i in range(Steps.n_steps)], f"{where}: {lines}"
            told[f"{fault}: {job.state}"] += 1
        assert starts["running"] <= len(jobs), where
        wait_until(lambda: not marked(queue), f"{where}: a process is left over")
        for path in queue.home.glob("steps *"):
            path.unlink()
    print(*(f"{count:4d} {what}" for what, count in sorted(told.items())), sep="\n")


def test_two_apps_on_one_workspace_start_each_job_once(queue: Settings) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import toy_tasks; from toy_tasks import Steps;"
        "from vccapp.jobs.local import start_job; from vccapp.settings import Settings;"
        "[start_job(Settings(), Steps(label=str(i)), command=(sys.executable, toy_tasks.__file__)) for i in range(8)]"
    )
    env = os.environ | launch.environment(queue)
    words = [sys.executable, "-c", code, str(Path(toy_tasks.__file__).parent)]
    apps = [subprocess.Popen(words, env=env) for _ in range(3)]
    assert [app.wait() for app in apps] == [0] * 3
    with JobStore(queue) as store:

        def ended() -> bool:
            reconcile(queue)
            return not store.find(state=ACTIVE)

        wait_until(ended, "stuck")
        jobs = store.find()
    assert {job.state for job in jobs} == {"succeeded"} and len({job.title for job in jobs}) == 8
    for job in jobs:
        assert (queue.home / f"steps {job.id}").read_text().split() == [str(i) for i in range(Steps.n_steps)]


@pytest.mark.skipif(
    subprocess.run(["unshare", "--user", "--pid", "--fork", "true"], capture_output=True).returncode != 0,
    reason="no namespaces of processes here",
)
def test_two_namespaces_of_processes_do_not_judge_each_other(queue: Settings) -> None:
    """A worker here, and a look from where its process number means nothing; then Stop from there."""
    job = start_job(queue, Steps(label="long", slow=True), command=WORKER)
    with JobStore(queue) as store:
        wait_until(lambda: store.get(job.id).state == "running", "not started")
        code = (
            "from vccapp.jobs.local import reconcile, stop_job; from vccapp.settings import Settings; import sys;"
            "print(reconcile(Settings()), stop_job(Settings(), sys.argv[1]).state if sys.argv[2:] else '')"
        )
        words = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
        env = os.environ | launch.environment(queue)
        for more in ([], ["stop"]):
            words_there = [*words, sys.executable, "-c", code, job.id, *more]
            there = subprocess.run(words_there, env=env, capture_output=True, text=True)
            assert there.stdout.startswith("[]"), there.stderr
            if not more:
                time.sleep(1)
                assert store.get(job.id).state == "running"
        wait_until(lambda: store.get(job.id).state == "stopped", "not stopped")


def test_fifty_jobs_on_two_slots_end_in_order_with_nobody_looking(queue: Settings) -> None:
    jobs = [start_job(queue, Echo(label=str(i), memory_bytes=100_000_000), command=WORKER) for i in range(50)]
    most = 0
    with JobStore(queue) as store:
        while store.find(state=ACTIVE):  # no reconcile: nobody looks
            most = max(most, resident(family(keeper_pid(queue))))
            assert len(store.find(state=CLAIMED)) <= 2
            time.sleep(0.2)
        ended = [store.get(job.id) for job in jobs]
    assert {job.state for job in ended} == {"succeeded"}
    begun = [next(event.time for event in store_events(queue, job) if event.state == "starting") for job in ended]
    assert begun == sorted(begun)
    print(f"keeper and workers: at most {most / 1e6:.0f} MB")


def resident(processes: list[psutil.Process]) -> int:
    """Bytes of those that are still there."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def family(pid: int) -> list[psutil.Process]:
    """A process and those below it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)] if pid else []
    except psutil.NoSuchProcess:
        return []


def store_events(settings: Settings, job: Job) -> list[Event]:
    with JobStore(settings) as store:
        return store.events(job.id)
