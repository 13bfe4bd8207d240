"""The index job, killed again and again: what it leaves behind makes the same index as a run that was left alone.

KILLS=20 python -m pytest tests/jobs/test_index.py        so many times at random; 8 by default
"""

import json
import os
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate
from vccapp.jobs.job import Job
from vccapp.jobs.local import reconcile, start_job
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.tasks.index import Index

KILLS = int(os.environ.get("KILLS", "8"))
BEGINNING = ("queued", "starting")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Genes for several checkpoints of DE, cells for every stage to last."""
    spec = SimulationSpec(n_cells=1500, n_genes=4200, n_perturbations=8)
    return simulate(spec, tmp_path_factory.mktemp("cells") / "cells.h5ad")


def settings_in(home: Path) -> Settings:
    return Settings(home=home, checkpoints=home / "checkpoints")


def start(settings: Settings, cells: Path) -> Job:
    return start_job(settings, Index(paths=(cells,)))


def wait(settings: Settings, job: Job, *, until: float | str = float("inf")) -> Job:
    """The job when it has ended, after so many seconds or when it has begun a file of that name, but not before its
    worker has begun.
    """
    began = time.monotonic()

    def is_reached() -> bool:
        return until in find_left(settings) if isinstance(until, str) else time.monotonic() - began >= until

    with JobStore(settings) as store:
        while (found := store.get(job.id)).active and (found.state in BEGINNING or not is_reached()):
            time.sleep(0.02)
            reconcile(settings)
    return found


def find_left(settings: Settings) -> set[str]:
    """Names in the hidden folder of the unfinished index."""
    return {path.name for path in settings.datasets.glob("*/.index.building/**/*")}


def read_index(settings: Settings) -> dict[str, bytes | dict]:
    """Every file of the one dataset's index by name; index.json without how long it took."""
    [index] = settings.datasets.glob("*/index")
    files = {str(path.relative_to(index)): path.read_bytes() for path in index.rglob("*") if path.is_file()}
    return files | {"index.json": json.loads((index / "index.json").read_text()) | {"seconds": None}}


def run_alone(home: Path, cells: Path) -> float:
    """Seconds that the job takes in an empty workspace."""
    settings, began = settings_in(home), time.monotonic()
    assert wait(settings, start(settings, cells)).state == "succeeded"
    return time.monotonic() - began


def kill_at(moments: list[float | str], home: Path, cells: Path, expected: dict[str, bytes | dict]) -> None:
    """Start the job and kill -9 it, all its processes, at each of the moments (seconds after its start, or a file that
    it has begun); then let it end.
    """
    settings = settings_in(home)
    for moment in moments:
        while (job := wait(settings, start(settings, cells), until=moment)).state == "succeeded":
            # It went on from where the one before was killed and was done by then: the next is a whole one. An earlier
            # moment, because the machine may have been slower when the duration was measured.
            assert read_index(settings) == expected
            shutil.rmtree(settings.datasets)
            moment = moment if isinstance(moment, str) else moment * 0.9
        assert job.active, job.reason
        os.killpg(job.pid, signal.SIGKILL)
        assert wait(settings, job).state in ("lost", "succeeded")
    assert wait(settings, start(settings, cells)).state == "succeeded"
    assert read_index(settings) == expected


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_to_the_same_index(cells: Path, tmp_path: Path) -> None:
    """And at the three at which it has something to go on from."""
    run_alone(tmp_path / "compiles", cells)
    with ThreadPoolExecutor(2) as both:  # two jobs at a time, as many as the cores at least
        lasts = max(both.map(run_alone, [tmp_path / "alone", tmp_path / "beside"], [cells] * 2))
        expected = read_index(settings_in(tmp_path / "alone"))
        dice = random.Random(0)
        moments: list[float | str] = ["totals.npy", "sums", "genes_done.json"]
        moments += [lasts * (i + dice.random()) / KILLS for i in range(KILLS)]
        dice.shuffle(moments)
        homes = [tmp_path / "first", tmp_path / "second"]
        list(both.map(kill_at, [moments[::2], moments[1::2]], homes, [cells] * 2, [expected] * 2))
