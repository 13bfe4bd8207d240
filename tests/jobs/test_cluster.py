"""Jobs whose work is done on a Ray cluster: a real one of two nodes on the loopback interface."""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ray_cluster import Nodes, start_nodes
from refusals import refusal
from safetensors.numpy import load_file
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import JobError
from vccapp.jobs.cluster import follow, remote
from vccapp.jobs.cluster.client import Share, mark_of
from vccapp.jobs.cluster.exchange import Exchange, Report, leave
from vccapp.jobs.host import find_processes, kill_processes
from vccapp.jobs.keeping.admission import Limits, choose
from vccapp.jobs.local import FOLLOWING, reconcile, start_again, start_job, stop_job
from vccapp.jobs.store import Job, JobStore
from vccapp.jobs.usage import Usage, tell_end
from vccapp.progress import silent
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.tasks.base import Needs, Task
from vccapp.tasks.sweep import Sweep
from vccapp.tasks.train import Train
from vccapp.training import RunSpec, list_runs, load_run
from vccapp.training.sweeps.record import load_sweep
from vccapp.training.sweeps.spec import make_sweep

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or importlib.util.find_spec("opencensus") is None,
    reason="Ray's Jobs API is not installed: pip install -r requirements-ray.txt",
)
LABELS = [f"GENE{i}" for i in range(8)]
SMALL = {
    "embedding": "expression",
    "width": 32,
    "inner": 16,
    "code": 8,
    "batch_size": 15,
    "patience": 0,
    "give_up": False,
}
LONG = 1_000_000
STEPS = 4_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with start_nodes("jobs") as nodes:
        yield nodes


@pytest.fixture(scope="module")
def workspace(cluster: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Two slots, which jobs on the cluster do not take."""
    folder = tmp_path_factory.mktemp("cluster")
    settings = Settings(
        home=folder / "workspace",
        checkpoints=folder / "checkpoints",
        data_roots=(folder,),
        device="cpu",
        memory_gb=1,
        threads=1,  # as a node of one CPU: sums in the same order
        ray_address=cluster.address,
    )
    make_counts(n_cells=400, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    parts = {"train": LABELS[:5], "val": LABELS[5:6], "test": LABELS[6:]}
    write_split(split_from_lists(name="s", dataset=dataset.fingerprint, **parts), settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        yield settings
        with JobStore(settings) as store:
            for job in store.find():
                stop_job(settings, job.id, force=True)


def params(steps: int) -> dict[str, object]:
    return SMALL | {"steps": steps, "epochs": LONG}


def dataset_of(settings: Settings) -> str:
    [found] = [path.name for path in settings.datasets.iterdir()]
    return found


def training(settings: Settings, *, steps: int, on: str = "ray", **fields: object) -> Train:
    return Train(model="scouter", params=params(steps), dataset=dataset_of(settings), split="s", on=on, **fields)


def wait_until(settings: Settings, job: Job, reached: Callable[[Job], object]) -> Job:
    """The job once it is so, or has ended."""
    with JobStore(settings) as store:
        while True:
            reconcile(settings)
            found = store.get(job.id)
            if not found.active or reached(found):
                return found
            time.sleep(0.1)


def end_of(settings: Settings, task: Task) -> Job:
    return wait_until(settings, start_job(settings, task), lambda _: False)


def learns(job: Job) -> bool:
    return job.message.startswith("step ")


def node_of(settings: Settings, job: Job) -> str:
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(settings.ray_address).get_job_info(job.id).driver_node_id


def lose_node(cluster: Nodes, job: Job) -> None:
    """Kill the second node with all its processes: what Ray calls the supervisor of the job, and those of the job."""
    [work] = [
        process for process in find_processes(mark_of(job.id)) if "vccapp.jobs.cluster.remote" in process.cmdline()
    ]
    work.parent().kill()
    kill_processes(mark_of(job.id))
    cluster.tell("lose")


def log_of(settings: Settings, job: Job) -> str:
    with JobStore(settings) as store:
        return store.read_log(job.id)


def weights_of(settings: Settings, job: Job) -> dict[str, np.ndarray]:
    assert job.state == "succeeded", f"{job.reason}\n{log_of(settings, job)}"
    return load_file(settings.checkpoints / job.result["run"] / "model" / "state.safetensors")


def assert_equal_weights(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value, err_msg=name)


@pytest.mark.slow
@needs_ray
def test_the_same_weights_here_and_on_the_cluster(workspace: Settings) -> None:
    here, there = (end_of(workspace, training(workspace, steps=40, on=on)) for on in ("here", "ray"))
    assert_equal_weights(weights_of(workspace, here), weights_of(workspace, there))
    one, other = (load_run(job.result["run"], workspace) for job in (here, there))
    assert one.metrics == other.metrics
    assert "sent to the Ray cluster" in log_of(workspace, there)
    assert "start: task train, on" in log_of(workspace, there)
    assert other.id in there.message and there.fraction == 1


@pytest.mark.slow
@needs_ray
def test_a_refusal_there_is_that_of_here(workspace: Settings) -> None:
    task = training(workspace, steps=40).model_copy(update={"split": "nothing"})
    here, there = (end_of(workspace, task.model_copy(update={"on": on})) for on in ("here", "ray"))
    assert here.state == there.state == "failed"
    assert (here.error_code, here.exit_code, here.reason) == (there.error_code, there.exit_code, there.reason)


@pytest.mark.slow
@needs_ray
def test_a_stop_keeps_a_checkpoint_and_force_leaves_no_process(workspace: Settings) -> None:
    job = start_job(workspace, training(workspace, steps=LONG))
    assert learns(wait_until(workspace, job, learns))
    stop_job(workspace, job.id)
    stopped = wait_until(workspace, job, lambda _: False)
    assert stopped.state == "stopped", stopped.reason
    run = load_run(stopped.params["run_id"], workspace)
    assert run.state == "stopped"
    [checkpoint] = (run.folder / "checkpoint").iterdir()
    again = start_again(workspace, job.id)
    assert again.task == "resume" and again.params["on"] == "ray"
    assert learns(wait_until(workspace, again, learns))
    assert find_processes(mark_of(again.id))
    stop_job(workspace, again.id)
    stop_job(workspace, again.id, force=True)
    assert wait_until(workspace, again, lambda _: False).state == "stopped"
    while find_processes(mark_of(again.id)):
        time.sleep(0.1)
    assert int(checkpoint.name.removeprefix("step-")) > 0


@pytest.mark.slow
@needs_ray
def test_a_trial_whose_node_is_lost_is_run_again(cluster: Nodes, workspace: Settings) -> None:
    """Two trials side by side, one a node; the sweep ends with every trial once, with the weights of this machine."""
    spec = make_sweep(
        RunSpec(model="scouter", params=params(STEPS), dataset=dataset_of(workspace), split="s"),
        {"learning_rate": [0.01, 0.001]},
        {},
        sampler="grid",
    )
    driver = start_job(workspace, Sweep.of(spec, on="ray"))
    with JobStore(workspace) as store:

        def trials() -> list[Job]:
            own = driver.params["sweep_id"]
            return [job for job in store.find(task=("train", "resume")) if job.params["run_id"].startswith(own)]

        while len(working := [job for job in trials() if job.state == "running" and learns(job)]) < 2:
            assert store.get(driver.id).active
            time.sleep(0.1)
        [hit] = [job for job in working if node_of(workspace, job) == cluster.second]
        lose_node(cluster, hit)
        try:
            lost = wait_until(workspace, hit, lambda _: False)
            assert (lost.state, lost.error_code) == ("lost", "node_lost"), lost.reason
        finally:
            cluster.second = cluster.tell("add")
        ended = wait_until(workspace, driver, lambda _: False)
        assert ended.state == "succeeded", log_of(workspace, ended)
        # Until the cluster knows that the node is gone, it may send what is run again there: it is then lost again.
        again, *before = [job for job in trials() if job.params["run_id"] == hit.params["run_id"]]
        again = wait_until(workspace, again, lambda _: False)  # the run has ended a moment before its job
    assert {job.error_code for job in before} == {"node_lost"} and again.state == "succeeded"
    found = load_sweep(driver.params["sweep_id"], workspace)
    assert [trial.state for trial in found.trials] == ["finished"] * 2
    assert sum(run.id.startswith(found.id) for run in list_runs(workspace)) == 2
    [trial] = [trial for trial in found.trials if trial.runs[0].id == hit.params["run_id"]]
    here = training(workspace, steps=STEPS, on="here")
    whole = end_of(workspace, here.model_copy(update={"params": here.params | trial.params}))
    assert_equal_weights(weights_of(workspace, whole), weights_of(workspace, again))


@pytest.mark.slow
@needs_ray
def test_no_cluster_is_told_at_once(workspace: Settings) -> None:
    for address, code in (("127.0.0.1:9", "no_ray_cluster"), ("nowhere", "bad_ray_address")):
        job = end_of(workspace.model_copy(update={"ray_address": address}), training(workspace, steps=40))
        assert (job.state, job.error_code, job.exit_code) == ("failed", code, 2)


def test_what_is_told_by_files_is_read_as_it_was_told(tmp_path: Path) -> None:
    here, there = Exchange(tmp_path), Exchange(tmp_path)
    here.sign()
    assert here.read_report().state == "running"
    there.write_report(Report(state="failed", outcome={"exit_code": 2, "error_code": "memory", "reason": "No."}))
    assert (here.read_report().state, here.read_report().outcome["error_code"]) == ("failed", "memory")
    there.log.write_bytes(b"one\ntw")
    assert here.new_log() == b"one\n" and here.new_log() == b""
    there.log.write_bytes(b"one\ntwo\n")
    assert here.new_log() == b"two\n"
    sign = there.read_sign()
    os.utime(there.folder / "sign", (1, 1))
    assert there.read_sign() != sign
    leave(tmp_path)
    assert there.read_sign() is None
    leave(tmp_path)


def test_work_that_nobody_follows_stops_and_work_that_was_left_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "UNFOLLOWED_SECONDS", 0.3)
    monkeypatch.setattr(remote, "WATCH_SECONDS", 0.05)
    sent: list[str] = []

    def killpg(group: int, number: int) -> None:
        sent.append(f"group {number.name}")
        raise SystemExit

    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number.name))
    monkeypatch.setattr(os, "killpg", killpg)
    exchange = Exchange(tmp_path)
    exchange.sign()
    remote._watch(exchange)
    leave(tmp_path)
    with pytest.raises(SystemExit):
        remote._watch(exchange)
    assert sent == ["SIGTERM", "group SIGKILL"]


def test_jobs_on_the_cluster_leave_the_slots_of_this_machine_free(settings: Settings) -> None:
    sent = Train(model="ridge", dataset="d", split="s", on="ray")
    with JobStore(settings) as store:
        jobs = [store.create(sent, needs=FOLLOWING, same=str(number)) for number in range(6)]
        here = [store.create(sent.model_copy(update={"on": "here", "seed": seed})) for seed in (0, 1)]
    limits = Limits(slots=1, memory_bytes=10**9, threads=1)
    assert choose(here, jobs[:3], limits, states={}, titles={}).start == here[0]
    assert choose([here[1], jobs[3]], [here[0], *jobs[:3]], limits, states={}, titles={}).start == jobs[3]
    full = choose([jobs[5]], jobs[:5], limits, states={}, titles={})  # all that follow share the memory of the machine
    driver = jobs[0].model_copy(update={"needs": Needs(memory_bytes=400_000_000, threads=0)})
    assert choose([jobs[5]], [driver] * 3, limits, states={}, titles={}).start == jobs[5]  # it may wait for this one
    assert full.start is None and full.waits[jobs[5].id].startswith("Waits for memory")


def test_what_another_system_killed_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for elsewhere in (True, False):
        monkeypatch.setattr("vccapp.jobs.usage.oom_kills", lambda: 3)
        Usage(tmp_path, elsewhere=elsewhere).sample()
        monkeypatch.setattr("vccapp.jobs.usage.oom_kills", lambda: 4)
        assert bool(tell_end(tmp_path)) is not elsewhere


def test_a_cluster_that_has_just_been_started_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.01)
    refusals = [JobError("no_ray_cluster", "No agent yet")] * 2

    class Starting:
        def submit(self, folder: Path, share: Share) -> None:
            if refusals:
                raise refusals.pop()

    told: list[str] = []
    follow._submit(Starting(), tmp_path, Share(1, 1), progress=lambda _, message="": told.append(message))
    assert not refusals and len(told) == 2
    monkeypatch.setattr(follow, "SILENT_SECONDS", 0.0)
    refusals.extend([JobError("no_ray_cluster", "No agent yet")] * 9)
    with refusal(JobError, "no_ray_cluster"):
        follow._submit(Starting(), tmp_path, Share(1, 1), progress=silent)


def test_a_share_is_told_in_words() -> None:
    assert Share(2, 1_500_000_000, 1).describe() == "2 CPU, 1.5 GB, 1 GPU"
