"""Runs that are killed or stopped go on: in the real worker process, at any step, to the same weights.

The worker is forked from a process that has torch loaded already, which saves seconds a start.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from places import TESTS
from refusals import refusal
from safetensors.numpy import load_file
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import SpecError
from vccapp.jobs.keeping.launch import environment
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.tasks.base import Task
from vccapp.tasks.resume import Resume
from vccapp.tasks.train import Train
from vccapp.training import RunSpec, load_run, resume, train
from vccapp.training.metrics_log import NAME, read_metrics

SMALL = {
    "width": 32,
    "inner": 16,
    "code": 8,
    "batch_size": 16,
    "embedding": "expression",
    "epoch_steps": 1,
    "epochs": 4,
    "patience": 0,
}
LABELS = [f"GENE{i}" for i in range(8)]
KILLS = 20


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("resume")
    settings = Settings(
        home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,), device="cpu"
    )
    make_counts(n_cells=600, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    write_split(
        split_from_lists(name="s", dataset=dataset.fingerprint, train=LABELS[:5], val=LABELS[5:6], test=LABELS[6:]),
        settings,
    )
    return settings


@pytest.fixture
def spec(workspace: Settings) -> RunSpec:
    [fingerprint] = [path.name for path in workspace.datasets.iterdir()]
    return RunSpec(model="scouter", params=SMALL, dataset=fingerprint, split="s", seed=5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server of processes with torch and the models loaded, not yet used."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # many small products: threads only wait for each other
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PYTHONPATH", str(TESTS / "support"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm_worker"])
    return context


def work(job_id: str, variables: dict[str, str], kill: tuple[str, int] | None) -> None:
    """A worker, which writes a checkpoint after every step, and which may be killed at a moment of its own."""
    import torch

    import vccapp.neural.fitting.checkpoint as checkpoint
    import vccapp.neural.fitting.loop as loop
    from vccapp.jobs.worker import main

    os.fsync = lambda _: None  # only a power cut would tell, and the test would wait for the disk
    os.environ.update(variables)
    os.setsid()
    torch.set_num_threads(1)
    made = loop.LoopSpec
    loop.LoopSpec = lambda **values: made(**values, checkpoint_seconds=0)
    if kill is not None:
        where, after = kill
        module, name = {"write": (checkpoint, "save_file"), "remove": (checkpoint.shutil, "rmtree")}[where]
        whole, calls = getattr(module, name), [0]

        def killed(*args: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] > after:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*args, **named)

        setattr(module, name, killed)
    os._exit(main(job_id))


def run_worker(server: Any, settings: Settings, task: Task, *, until: Callable[[], bool], kill: Any = None) -> int:
    """Run a training in a worker process and kill it when `until` says so; its exit code."""
    with JobStore(settings) as store:
        job = store.create(task)
    process = server.Process(target=work, args=(job.id, environment(settings), kill))
    process.start()
    while process.is_alive():
        if until():
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.join()
    return process.exitcode


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_steps_ends_with_the_same_weights(
    server: Any, workspace: Settings, spec: RunSpec
) -> None:
    whole, killed = (Train.of(spec).model_copy(update={"run_id": name}) for name in ("whole", "killed"))
    assert run_worker(server, workspace, whole, until=lambda: False) == 0
    folder = workspace.checkpoints / "killed"
    n_lines = count_lines(workspace.checkpoints / "whole" / NAME)
    rng = np.random.default_rng(0)
    kills, task = 0, killed
    special = {4: ("write", 2), 8: ("remove", 1)}  # in the middle of writing a checkpoint, and of removing the old one
    for step in sorted(rng.choice(np.arange(1, n_lines - 2), KILLS, replace=False)):
        kill = special.get(kills)
        code = run_worker(
            server,
            workspace,
            task,
            until=(lambda: False) if kill else lambda step=step: count_lines(folder / NAME) >= step,
            kill=kill,
        )
        assert code == -signal.SIGKILL and load_run("killed", workspace).state == "interrupted"
        kills += 1
        task = Resume(dataset=spec.dataset, run_id="killed")
    assert kills == KILLS
    assert run_worker(server, workspace, task, until=lambda: False) == 0
    run = load_run("killed", workspace)
    assert run.state == "finished" and run.metrics == load_run("whole", workspace).metrics
    weights = [load_file(workspace.checkpoints / name / "model" / "state.safetensors") for name in ("whole", "killed")]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name], err_msg=name)
    first, second = (read_metrics(workspace.checkpoints / name).drop(columns="seconds") for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(first, second)
    assert not (folder / "checkpoint").exists()


def test_what_cannot_be_resumed(workspace: Settings, spec: RunSpec) -> None:
    plain = spec.model_copy(update={"model": "perturbation_mean", "params": {}})
    train(plain, workspace, run_id="done")
    with refusal(SpecError, "nothing_to_resume"):
        resume("done", workspace)
    with refusal(SpecError, "unknown_run"):
        resume("never", workspace)


def test_a_failed_run_can_be_tried_again(workspace: Settings, spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    from vccapp.models.perturbation_mean import PerturbationMean

    plain = spec.model_copy(update={"model": "knockdown_mean", "params": {}})
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(PerturbationMean, "learn", lambda *_: (_ for _ in ()).throw(OSError("full")))
        train(plain, workspace, run_id="again")
    assert load_run("again", workspace).state == "failed"
    resume("again", workspace)
    run = load_run("again", workspace)
    assert run.state == "finished" and run.reason == "" and run.ended is not None


def test_the_log_is_read_in_long_form(workspace: Settings, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25, "val_mae": NaN}\n{"step": 3, "lo')
    frame = read_metrics(tmp_path)
    assert frame["step"].tolist() == [1, 2, 2] and frame["name"].tolist() == ["loss", "loss", "val_mae"]
    assert read_metrics(tmp_path / "nothing").empty
