"""Any partition gives the same index, in this process and on a Ray cluster of two nodes on the loopback interface."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ray_cluster import start_nodes
from refusals import refusal
from scipy.sparse import csr_matrix
from toy import make_counts

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.errors import DataError, JobError, SpecError, Stopped
from vccapp.progress import Progress
from vccapp.stats.building.build import build_index
from vccapp.stats.building.executor import Executor, LocalExecutor, cut_evenly
from vccapp.stats.building.executors import open_executor
from vccapp.stats.index import Index, load_index

EXACT = ("de/p_value", "de/fdr", "de/statistic", "de/lfc_2025", "de/lfc_2026", "scaling")
SUMS = ("mean", "variance", "half_mean", "count_sum", "guide_mean", "batch_mean")
GB = 10**9
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -r requirements-ray.txt"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("toy") / "toy.h5ad"
    counts = make_counts(n_cells=150)
    x = counts.X.toarray()
    x[::7, 3] = np.arange(250, 272)  # more than a byte of the store holds, in every part
    counts.X = csr_matrix(x)
    counts.write_h5ad(path)
    return open_dataset(path)


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index made in one go."""
    folder = tmp_path_factory.mktemp("whole") / "index"
    build_index(dataset, folder)
    return load_index(folder)


def assert_same_index(index: Index, whole: Index) -> None:
    for name in EXACT:
        np.testing.assert_array_equal(index.array(name), whole.array(name), err_msg=name)
    for name in SUMS:
        np.testing.assert_allclose(index.array(name), whole.array(name), rtol=1e-9, atol=1e-12, err_msg=name)
    for table in ("genes", "perturbations", "cells"):
        pd.testing.assert_frame_equal(getattr(index, table), getattr(whole, table), rtol=1e-9, atol=1e-12)
    for gene in index.genes["gene"]:
        np.testing.assert_array_equal(index.gene_values(gene), whole.gene_values(gene))


class Cut(LocalExecutor):
    """The local executor, its work cut for this many slots."""

    def __init__(self, slots: int) -> None:
        self.slots = slots


@pytest.mark.slow
@hypothesis_settings(max_examples=8, deadline=None)
@given(slots=st.integers(1, 30), width=st.integers(1, 160))
def test_any_partition_gives_the_same_index(dataset: Dataset, whole: Index, slots: int, width: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr("vccapp.stats.store.BLOCK_CELLS", {"uint8": width})
        patch.setattr("vccapp.stats.building.build.BLOCK_VALUES", 500)
        build_index(dataset, Path(name) / "index", executor=Cut(slots))
        assert_same_index(load_index(Path(name) / "index"), whole)


@given(n=st.integers(1, 10_000), parts=st.integers(1, 50), unit=st.integers(1, 300))
def test_ranges_cover_all_once_and_begin_at_units(n: int, parts: int, unit: int) -> None:
    ranges = cut_evenly(n, parts=parts, unit=unit)
    assert [i for first, last in ranges for i in range(first, last)] == list(range(n))
    assert all(first < last and first % unit == 0 for first, last in ranges)
    assert len(ranges) <= parts
    sizes = [-(-(last - first) // unit) for first, last in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("layout", ["csr", "csc", "dense", "joined"])
def test_a_range_of_cells_is_that_part_of_all(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vccapp.data.matrices.csc.BUCKET_VALUES", 700)
    counts = make_counts(n_cells=90)
    x = counts.X.toarray()
    counts.X = {"dense": x, "csc": counts.X.tocsc()}.get(layout, counts.X)
    counts.write_h5ad(tmp_path / "all.h5ad")
    paths = [tmp_path / "all.h5ad"]
    if layout == "joined":
        paths = [tmp_path / f"{i}.h5ad" for i in range(3)]
        for i, path in enumerate(paths):
            counts[30 * i : 30 * (i + 1)].copy().write_h5ad(path)
    dataset = open_dataset(paths)
    for first, last in [(0, 90), (0, 1), (29, 31), (17, 83), (60, 90), (89, 90)]:
        blocks = list(dataset.iter_rows(max_values=300, first=first, last=last))
        np.testing.assert_array_equal(np.concatenate([block.toarray() for _, block in blocks]), x[first:last])
        ends = np.cumsum([first, *(block.shape[0] for _, block in blocks)])
        assert [start for start, _ in blocks] == ends[:-1].tolist()
        totals = [
            values[a:b].sum()
            for _, values, edges in dataset.iter_values(max_values=300, first=first, last=last)
            for a, b in pairwise(edges)
        ]
        np.testing.assert_allclose(totals, x[first:last].sum(axis=1))


def test_local_work_reports_and_stops() -> None:
    seen: list[float] = []

    def half(task: int, progress: Progress) -> int:
        progress(0.5)
        progress(1.0)
        return task

    assert list(LocalExecutor().map(half, [3, 1], progress=lambda f, m="": seen.append(f))) == [3, 1]
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_without_ray_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "vccapp.stats.building.ray_executor", raising=False)
    with refusal(SpecError, "ray_missing"):
        open_executor("ray", address="auto", paths=(), memory_bytes=GB)
    with refusal(SpecError, "unknown_executor"):
        open_executor("slurm", address="auto", paths=(), memory_bytes=GB)


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, set[str]]]:
    """Address and node ids of a cluster of two nodes (see ray_nodes.py), which ends with these tests."""
    with start_nodes() as nodes:
        yield nodes.address, {nodes.head, nodes.second}


@pytest.fixture
def executor(cluster: tuple[str, set[str]], dataset: Dataset) -> Iterator[Executor]:
    with open_executor("ray", address=cluster[0], paths=[dataset.path], memory_bytes=GB) as opened:
        yield opened


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Index]:
    """A dataset of three blocks of the store, and its index made in this process."""
    folder = tmp_path_factory.mktemp("blocks")
    make_counts(n_cells=20_000).write_h5ad(folder / "blocks.h5ad")
    dataset = open_dataset(folder / "blocks.h5ad")
    build_index(dataset, folder / "index")
    return dataset, load_index(folder / "index")


@pytest.mark.slow
@needs_ray
def test_two_nodes_make_the_same_index(
    cluster: tuple[str, set[str]], executor: Executor, blocks: tuple[Dataset, Index], tmp_path: Path
) -> None:
    dataset, whole = blocks
    seen: list[float] = []
    build_index(dataset, tmp_path / "index", executor=executor, progress=lambda f, m="": seen.append(f))
    assert_same_index(load_index(tmp_path / "index"), whole)
    assert executor.slots == 2
    assert set(executor.nodes) == cluster[1]
    assert seen == sorted(seen) and seen[-1] == 1.0


@pytest.mark.slow
@needs_ray
def test_the_command_works_on_a_cluster(
    cluster: tuple[str, set[str]], blocks: tuple[Dataset, Index], tmp_path: Path
) -> None:
    dataset, whole = blocks
    command = [sys.executable, "-m", "vccapp", "data", "index", dataset.path, "--executor", "ray", "--json"]
    env = os.environ | {"VCCAPP_HOME": str(tmp_path), "VCCAPP_RAY_ADDRESS": cluster[0]}
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "parts done" in done.stderr
    assert_same_index(load_index(tmp_path / "datasets" / dataset.fingerprint / "index"), whole)


@pytest.mark.slow
@needs_ray
def test_a_stop_ends_the_tasks(executor: Executor) -> None:
    def wait(task: float, progress: Progress) -> float:
        progress(0.0, "at work")
        time.sleep(task)
        return task

    def stop(fraction: float, message: str = "") -> None:
        if message.startswith("at work"):
            raise Stopped

    with pytest.raises(Stopped):  # tasks that went on would hold the next ones up beyond the limit of a test
        list(executor.map(wait, [900.0] * 6, progress=stop))
    assert list(executor.map(wait, [0.0, 0.1])) == [0.0, 0.1]


@pytest.mark.slow
@needs_ray
def test_a_killed_task_is_done_again(executor: Executor, tmp_path: Path) -> None:
    def die_once(task: Path, progress: Progress) -> str:
        if not task.exists():
            task.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task.name

    assert list(executor.map(die_once, [tmp_path / "a", tmp_path / "b"])) == ["a", "b"]


@pytest.mark.slow
@needs_ray
def test_an_error_of_a_task_is_raised_as_it_was(executor: Executor) -> None:
    def fail(task: int, progress: Progress) -> None:
        raise DataError("bad_values", "toy.h5ad has negative values") if task else ZeroDivisionError("nothing")

    with refusal(DataError, "bad_values"):
        list(executor.map(fail, [1]))
    with pytest.raises(ZeroDivisionError):
        list(executor.map(fail, [0]))


@pytest.mark.slow
@needs_ray
def test_sigterm_stays_with_the_job(executor: Executor) -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.slow
@needs_ray
def test_files_that_a_machine_does_not_see_are_named(cluster: tuple[str, set[str]], tmp_path: Path) -> None:
    with (
        open_executor("ray", address=cluster[0], paths=[tmp_path / "only-here"], memory_bytes=GB) as executor,
        pytest.raises(DataError, match="only-here is not on .* mount at the same path"),
    ):
        list(executor.map(print, [1]))


@pytest.mark.slow
@needs_ray
def test_a_cluster_too_small_is_refused(cluster: tuple[str, set[str]]) -> None:
    with refusal(JobError, "no_ray_slot"):
        open_executor("ray", address=cluster[0], paths=(), memory_bytes=9000 * GB)


@pytest.mark.slow
@needs_ray
def test_no_cluster_is_said_at_once() -> None:
    with refusal(JobError, "no_ray_cluster"):
        open_executor("ray", address="127.0.0.1:1", paths=(), memory_bytes=GB)
    with refusal(SpecError, "bad_ray_address"):
        open_executor("ray", address="somewhere", paths=(), memory_bytes=GB)
