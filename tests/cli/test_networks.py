"""Every network on the demo, from the command line: 200 steps in seconds."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vccapp.cli import main
from vccapp.data.simulation.demo import write_demo
from vccapp.data.splits.split import make_split, write_split
from vccapp.data.workspace import open_registered
from vccapp.references import FLOORS, LIMITS
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.stats.index import load_index

STEPS = 200
SMALL = {
    "scouter": {
        "width": 64,
        "inner": 32,
        "code": 16,
        "batch_size": 32,
        "epochs": 99,
        "patience": 0,
        "give_up": False,
        "genes": 500,
    },
    "state": {"set_size": 8, "sets": 4, "patience": 0, "give_up": False, "genes": 500},
}
"""Sizes for a test; `state` is then its preset xs on few cells."""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with its index and a split 's'."""
    folder = tmp_path_factory.mktemp("networks")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    write_demo(settings)
    [fingerprint] = [path.name for path in settings.datasets.iterdir()]
    index = settings.datasets / fingerprint / "index"
    build_index(open_registered(fingerprint, settings), index)
    write_split(make_split(load_index(index).labels[1:], name="s", dataset=fingerprint), settings)
    return folder


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Call:
    """Run a command in that workspace: exit code, standard output, standard error."""
    monkeypatch.setenv("VCCAPP_HOME", str(home / "workspace"))
    monkeypatch.setenv("VCCAPP_CHECKPOINTS", str(home / "checkpoints"))
    monkeypatch.setenv("VCCAPP_DEVICE", "cpu")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def words_of(model: str, **changed: Any) -> list[str]:
    params = SMALL[model] | {"steps": STEPS} | changed
    return ["train", "start", model, "--split", "s", *(f"--set={name}={value}" for name, value in params.items())]


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL)
def test_two_hundred_steps(model: str, home: Path, call: Call) -> None:
    code, out, err = call(*words_of(model), "--json")
    assert code == 0, err
    run = json.loads(out)
    assert run["state"] == "finished"
    assert set(run["metrics"]["val"]) == {model, "ridge", *FLOORS, *LIMITS}
    assert run["made"]["baseline"] == "ridge" and 0 <= run["made"]["share"] <= 1 and run["made"]["steps"] == STEPS
    lines = [json.loads(line) for line in (home / "checkpoints" / run["id"] / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == STEPS
    scores = [line["val_pearson_delta"] for line in lines if "val_pearson_delta" in line]
    kept = run["metrics"]["val"][model]["pearson_delta"]
    assert kept == pytest.approx(max(scores), abs=0.05) and kept >= scores[0] - 0.05  # the best of them was kept
    code, out, _ = call("train", "status", run["id"])
    assert code == 0 and "finished" in out
    code, _, err = call("train", "resume", run["id"])
    assert code == 2 and "is finished, so there is nothing to resume" in err


def test_a_network_too_large_for_the_memory_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCCAPP_MEMORY_GB", "1")
    code, _, err = call(*words_of("scouter", width=100_000))
    assert code == 2 and "1.0 GB" in err and "VCCAPP_MEMORY_GB" in err


@pytest.mark.slow
def test_two_processes_share_a_run(home: Path, call: Call) -> None:
    code, out, err = call(*words_of("state", steps=100), "--devices", "2", "--json")
    assert code == 0, err
    run = json.loads(out)
    assert run["state"] == "finished" and run["devices"] == 2
    assert "About " in err and "of memory; " in err  # told before it started
    lines = (home / "checkpoints" / run["id"] / "metrics.jsonl").read_text().splitlines()
    assert sum("loss" in json.loads(line) for line in lines) == 100


def test_devices_that_make_no_sense_are_refused(call: Call) -> None:
    code, _, err = call(*words_of("state"), "--devices", "none")
    assert code == 2 and "--devices is 'none'; use a number from 1, or auto." in err
    code, _, err = call("train", "start", "ridge", "--split", "s", "--devices", "2")
    assert code == 2 and "'ridge' uses a single process; leave out --devices." in err


@pytest.mark.slow
def test_a_grid_of_runs_trains_in_the_background(call: Call) -> None:
    grid = ("train", "grid", "knn", "--split", "s", "--json")
    for wrong, message in (
        ("temperature=0.1,-5", "Parameter temperature of knn is -5"),
        ("no=1,2", "Parameter no of knn"),
    ):
        code, out, err = call(*grid, "--set", wrong)
        assert code == 2 and message in err and not out
    assert not any("knn" in job["title"] for job in json.loads(call("jobs", "list", "--json")[1]))
    code, out, err = call(
        *grid, "--set", "temperature=0.1,0.2", "--set", "missing=mean", "--seeds", "0,1", "--title", "g"
    )
    assert code == 0 and "2 trials, 4 runs, one after the other" in err
    sweep = json.loads(out)["params"]["sweep_id"]
    give_up = time.monotonic() + 500
    while any(
        job["state"] in ("queued", "starting", "running") for job in json.loads(call("jobs", "list", "--json")[1])
    ):
        assert time.monotonic() < give_up
        time.sleep(0.5)
    found = json.loads(call("sweep", "status", sweep, "--json")[1])
    assert found["state"] == "finished" and [trial["state"] for trial in found["trials"]] == ["finished"] * 2
    runs = [run["id"] for trial in found["trials"] for run in trial["runs"]]
    records = [json.loads(call("train", "status", run, "--json")[1])["run"] for run in runs]
    titles = [f"g temperature={t} seed={seed}" for t in (0.1, 0.2) for seed in (0, 1)]
    assert [record["spec"]["title"] for record in records] == titles
    values = [record["metrics"]["val"]["knn"]["pearson_delta"] for record in records]
    means = [trial["value"] for trial in found["trials"]]
    assert means == pytest.approx([sum(values[:2]) / 2, sum(values[2:]) / 2]) and found["best"] == max(means)
    listed = json.loads(call("sweep", "list", "--json")[1])["sweeps"]
    assert [row["id"] for row in listed] == [sweep]
    code, _, err = call("sweep", "resume", sweep)
    assert code == 2 and "ended" in err
