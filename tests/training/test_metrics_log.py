"""The log of a training that is resumed: no line is lost and none is there twice."""

import json
from pathlib import Path

import pytest

from vccapp.training.metrics_log import NAME, MetricsLog, read_lines

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
    assert [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()] == LINES


def test_a_log_that_is_deleted_is_put_back(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for line in LINES:
            log(line)
            if line["step"] == 1:
                (tmp_path / NAME).unlink()
    assert read_lines(tmp_path) == LINES
