"""TensorBoard's own reader finds in a run's folder what metrics.jsonl says."""

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vccapp.errors import Stopped
from vccapp.training.metrics_log import Line, MetricsLog, read_lines
from vccapp.training.trackers.base import Tracked
from vccapp.training.trackers.follow import follow_run

LINES = [{"step": 0, "val_loss": 0.1}] + [{"step": step, "loss": 1 / step, "rate": 1e-30} for step in range(1, 40)]
LINES.insert(20, {"step": 19, "val_loss": float("nan")})


def train(folder: Path, lines: Sequence[Line], scores: dict[str, float]) -> None:
    run = Tracked("run-1", "", folder, folder, {})
    with follow_run(run, (), look_seconds=0.01) as given, MetricsLog(folder) as log:
        for line in lines:
            log(dict(line))
        if not scores:
            raise Stopped
        given.update(scores)


def read(folder: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """(tag, step) -> value, time; by TensorBoard. Fails where a step is there twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            assert (tag, event.step) not in found
            found[tag, event.step] = event.value, event.wall_time
    return found


def expected(folder: Path) -> dict[tuple[str, int], float]:
    lines = read_lines(folder)
    return {
        (name, int(line["step"])): float(np.float32(value))
        for line in lines
        for name, value in line.items()
        if name != "step"
    }


def same(found: dict[tuple[str, int], tuple[float, float]], wanted: dict[tuple[str, int], float]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[key][0] == value or (math.isnan(found[key][0]) and math.isnan(value)) for key, value in wanted.items()
    )


def test_it_reads_what_was_logged_and_the_scores(tmp_path: Path) -> None:
    train(tmp_path, LINES, {"test/pds": 0.25})
    assert same(read(tmp_path), expected(tmp_path) | {("test/pds", 39): 0.25})


@pytest.mark.parametrize("resumed_from", [0, 7, 20, 21])
def test_a_run_that_went_on_has_every_step_once_at_its_time(resumed_from: int, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, LINES[:25], {})
    before = read(tmp_path)
    assert same(before, expected(tmp_path)) and len(before) > 25
    train(tmp_path, LINES[resumed_from:], {"test/pds": 0.25})
    after = read(tmp_path)
    assert same(after, expected(tmp_path) | {("test/pds", 39): 0.25})
    assert all(after[key][1] == at for key, (_, at) in before.items())
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


def test_a_file_that_ends_in_the_middle_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, LINES[:25], {})
    [path] = tmp_path.glob("events.out.tfevents.*")
    path.write_bytes(path.read_bytes()[:-7])
    train(tmp_path, LINES[25:], {"test/pds": 0.25})
    assert same(read(tmp_path), expected(tmp_path) | {("test/pds", 39): 0.25})


@pytest.mark.slow
def test_it_is_written_without_tensorflow_and_torch() -> None:
    program = (
        "import sys; from pathlib import Path; from vccapp.training.trackers.base import Tracked;"
        "from vccapp.training.trackers.tensorboard import TensorBoard; t = TensorBoard();"
        "folder = Path(sys.argv[1]); t.start(Tracked('r', '', folder, folder, {}), '');"
        "t.log([{'step': 1, 'loss': 2.0}]); t.end('finished', {});"
        "assert not {'torch', 'tensorflow'} & set(sys.modules), sorted(sys.modules)"
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", program, folder], check=True)
