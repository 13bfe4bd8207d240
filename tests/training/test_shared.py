"""Fits shared by several processes: the same weights as by one, an end that is told, and a stop that can be resumed."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args

import bfloat16_rank
import numpy as np
import psutil
import pytest
import torch
from safetensors.numpy import load_file
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import split_from_lists, write_split
from vccapp.data.workspace import register
from vccapp.errors import JobError, ResourceError, SpecError, Stopped
from vccapp.models.base import make_model
from vccapp.neural.fitting import estimate
from vccapp.neural.fitting.estimate import Precision
from vccapp.neural.fitting.sampler import Sets, take_share
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.training import RunSpec, load_run, resume, train
from vccapp.training.fit import _failure, count_ranks
from vccapp.training.metrics_log import read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = [f"GENE{i}" for i in range(8)]
COMMON = {"embedding": "expression", "patience": 0}
SMALL = {
    "scouter": COMMON | {"width": 32, "inner": 16, "code": 8, "batch_size": 15, "steps": 24, "direction": 0.5},
    "state": COMMON | {"set_size": 8, "sets": 3, "steps": 24, "dropout": 0, "loss": "C4", "validate_every": 8},
}
PRECISIONS = get_args(Precision)
"""Steps of an odd number of items, so that the shares of two processes differ, and every term of the losses."""
SHIFTS = {
    "scouter": ("encoder.0.bias", "encoder.3.bias", "encoder.6.bias", "generator.0.", "running_mean"),
    "state": (),
}
"""What a batch norm takes out again: the gradient is zero, and Adam follows its rounding errors."""

LAST = {"scouter": "network.generator.3.weight", "state": "network.head.3.weight"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("shared")
    settings = Settings(
        home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,), device="cpu", devices=2
    )
    make_counts(n_cells=600, n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    build_index(dataset, register(dataset, settings) / "index")
    for name, val in (("s", LABELS[5:6]), ("unvalidated", [])):
        split = split_from_lists(name=name, dataset=dataset.fingerprint, train=LABELS[:5], val=val, test=LABELS[6:])
        write_split(split, settings)
    return settings


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`auto` is bfloat16 here and in the processes that are started."""
    monkeypatch.setattr(estimate, "CPU_FLAGS", bfloat16_rank.FLAGS)
    monkeypatch.setattr("vccapp.training.fit.COMMAND", bfloat16_rank.COMMAND)
    estimate.has_bfloat16.cache_clear()
    yield
    estimate.has_bfloat16.cache_clear()


def spec_of(model: str, settings: Settings, **changed: object) -> RunSpec:
    [fingerprint] = [path.name for path in settings.datasets.iterdir()]
    return RunSpec(model=model, params=SMALL[model] | changed, dataset=fingerprint, split="s", seed=5)


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model" / "state.safetensors")


def learnt(weights: dict[str, np.ndarray], model: str) -> dict[str, np.ndarray]:
    """The weights that have a gradient."""
    kept = (name for name in weights if name.startswith("network.") and "num_batches" not in name)
    return {name: weights[name] for name in kept if not any(shift in name for shift in SHIFTS[model])}


def distance(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return float(np.sqrt(sum(np.square(other[name] - value).sum() for name, value in one.items())))


@pytest.mark.slow
@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("model", SMALL)
def test_two_processes_give_the_weights_of_one(model: str, workspace: Settings) -> None:
    """At every precision that the form offers: to rounding in float32; in bfloat16 each is as far from float32 as the
    other, and so at most twice as far from each other.
    """
    found, logs = {}, {}
    for precision, n in product(PRECISIONS, (1, 2)):
        spec = spec_of(model, workspace, precision=precision)
        if model == "scouter":  # held-out effects scale its last layer, here to nothing
            spec = spec.model_copy(update={"split": "unvalidated"})
        run_id = f"{model}-{precision}-{n}"
        folder = train(spec, workspace.model_copy(update={"devices": n}), run_id=run_id)
        assert load_run(folder.name, workspace).devices == n
        found[precision, n] = weights_of(folder)
        logs[precision, n] = read_metrics(folder).pivot(index="step", columns="name", values="value")
    one, two = (learnt(found["float32", n], model) for n in (1, 2))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)
    assert np.abs(one[LAST[model]]).max() > 1e-3  # it started at zero
    np.testing.assert_allclose(logs["float32", 2], logs["float32", 1], rtol=2e-3, atol=1e-4)
    for precision in PRECISIONS:
        first = 4 if precision == "float32" else 1
        for name in {"autofocus", "direction", "energy", "de", "rank"} & set(logs[precision, 1]):
            each = [logs[precision, n][name].dropna().iloc[:first] for n in (1, 2)]
            np.testing.assert_allclose(each[1], each[0], atol=1e-5, err_msg=name)
    rough, shared = (learnt(found["auto", n], model) for n in (1, 2))
    assert 0 < distance(shared, rough) < 2 * distance(rough, one)
    np.testing.assert_allclose(logs["auto", 2], logs["auto", 1], rtol=3e-2, atol=2e-3)


class Watch:
    """A progress that acts once the training is at a step."""

    def __init__(self, act: object) -> None:
        self.act, self.messages = act, []

    def __call__(self, fraction: float, message: str = "") -> None:
        self.messages.append(message)
        if message.startswith("step "):
            self.act()


def find_processes(rank: str = "") -> list[psutil.Process]:
    """Of the fit that runs, all or one."""
    found = [(p, p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]  # none for a zombie
    return [p for p, words in found if "vccapp.training.rank" in words and words[3].startswith(rank)]


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_is_told_and_resumed(workspace: Settings) -> None:
    spec = spec_of("state", workspace, steps=100_000)

    def kill() -> None:
        for process in find_processes("1"):
            process.kill()

    with pytest.raises(JobError, match=r"process 2 of 2 was killed \(signal 9\), most often because memory ran out"):
        train(spec, workspace, run_id="killed", progress=Watch(kill))
    assert not find_processes()
    run = load_run("killed", workspace)
    assert run.state == "failed" and "resume the run" in run.reason

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        resume("killed", workspace, progress=Watch(stop))
    assert not find_processes() and load_run("killed", workspace).state == "stopped"
    [checkpoint] = (workspace.checkpoints / "killed" / "checkpoint").iterdir()
    assert int(checkpoint.name.removeprefix("step-")) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", SMALL)
def test_a_shared_run_that_was_stopped_ends_with_the_same_weights(
    model: str, precision: str, workspace: Settings
) -> None:
    spec = spec_of(model, workspace, precision=precision, steps=60)
    whole = train(spec, workspace, run_id=f"{model}-{precision}-whole")

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(spec, workspace, run_id=f"{model}-{precision}-stopped", progress=Watch(stop))
    [checkpoint] = (workspace.checkpoints / f"{model}-{precision}-stopped" / "checkpoint").iterdir()
    assert 0 < int(checkpoint.name.removeprefix("step-")) < 60
    again = weights_of(resume(f"{model}-{precision}-stopped", workspace))
    for name, value in weights_of(whole).items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


@pytest.mark.slow
def test_what_one_process_refuses_is_the_end(workspace: Settings) -> None:
    with pytest.raises(SpecError) as refused:
        train(spec_of("state", workspace, sets=1), workspace, run_id="refused")
    assert refused.value.code == "too_many_devices"
    assert load_run("refused", workspace).reason == str(refused.value)


def test_shares_are_disjoint_and_whole() -> None:
    step = Sets(np.arange(21).reshape(7, 3), np.arange(21).reshape(7, 3) + 100, np.arange(7))
    parts = [take_share(step, rank, 3) for rank in range(3)]
    assert [len(part.label) for part in parts] == [3, 2, 2]
    assert sorted(np.concatenate([part.cells for part in parts]).ravel()) == list(range(21))
    assert all((part.controls == part.cells + 100).all() for part in parts)


def test_more_devices_than_there_are_gpus_is_told(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    network, closed = make_model("state"), make_model("ridge")

    def count(devices: object, model: object = network) -> int:
        return count_ranks(model, settings.model_copy(update={"devices": devices}))

    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        assert [count(n) for n in (1, 3, "auto")] == [1, 3, 1] and count(3, closed) == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [count(n) for n in (1, 2, "auto")] == [1, 2, 2]
    with pytest.raises(ResourceError) as refused:
        count(3)
    assert refused.value.code == "too_many_devices"


def test_the_first_cause_is_told() -> None:
    lost, refused = (0, None, "RuntimeError: connection closed"), SpecError("unknown_gene", "No such gene")
    assert "process 2 of 2 was killed" in str(_failure([lost], [1, -9]))
    assert _failure([lost, (1, refused, "SpecError")], [1, 1]) is refused
    assert "process 1 of 2 failed (RuntimeError: connection closed)" in str(_failure([lost], [1, None]))
    assert "process 2 of 2 ended with exit code 3" in str(_failure([], [None, 3]))
