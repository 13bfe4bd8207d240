"""The log of a training that is resumed: no line is lost and none is there twice."""

import json
from pathlib import Path

import pytest

from vccapp.training.metrics_log import NAME, MetricsLog, read_lines, read_metrics

LINES = [
    {"step": 0, "val_loss": 3.0},
    {"step": 1, "loss": 2.0},
    {"step": 2, "loss": 1.5},
    {"step": 2, "val_loss": 2.0},
    {"step": 3, "loss": 1.0},
]


@pytest.mark.parametrize("logged", range(len(LINES) + 1))
@pytest.mark.parametrize("resumed_from", range(len(LINES)))
def test_a_resumed_log_is_that_of_a_whole_training(logged: int, resumed_from: int, tmp_path: Path) -> None:
    """A killed training has logged so many lines, the last half; the resumed one writes those after its checkpoint."""
    if resumed_from > logged:
        return  # a checkpoint is not ahead of the log
    text = "".join(json.dumps(line) + "\n" for line in LINES[:logged])
    (tmp_path / NAME).write_text(text + '{"step": 9, "lo')
    with MetricsLog(tmp_path) as log:
        for line in LINES[resumed_from:]:
            log(line)
    assert read_lines(tmp_path) == LINES


def test_a_log_that_is_deleted_is_put_back(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for line in LINES:
            log(line)
            if line["step"] == 1:
                (tmp_path / NAME).unlink()
    assert read_lines(tmp_path) == LINES


def test_time_goes_on_where_it_was_stopped_and_pauses_do_not_count(tmp_path: Path) -> None:
    """A clock a process, each with a beginning of its own: 10 s of work, a night, 5 s of work."""
    for times, steps in (([1000.0, 1004.0, 1010.0], (1, 2)), ([90_000.0, 90_003.0, 90_005.0], (3, 4))):
        clock = iter(times).__next__
        with MetricsLog(tmp_path, clock=clock) as log:
            for step in steps:
                log({"step": step, "loss": 1.0})
    frame = read_metrics(tmp_path)
    assert frame["step"].tolist() == [1, 2, 3, 4]
    assert frame["seconds"].tolist() == [4.0, 10.0, 13.0, 15.0]


def test_a_log_of_an_earlier_version_has_no_times(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"step": 1, "loss": 0.5}\n')
    assert read_metrics(tmp_path)["seconds"].isna().tolist() == [True]
