"""The log of a training: torn and foreign lines end what is read, and a resumed training writes on from there."""

from pathlib import Path

import pytest

from vccapp.training.metrics_log import NAME, MetricsLog, read_metrics


@pytest.mark.parametrize("last", ['{"step": 2, "lo', "[1, 2]", "3", "null", '{"loss": 0.5}'])
def test_what_is_no_line_ends_the_log(last: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(f'{{"step": 1, "loss": 0.25}}\n{last}\n')
    frame = read_metrics(tmp_path)
    assert frame.to_dict("records") == [{"step": 1, "name": "loss", "value": 0.25}]
    with MetricsLog(tmp_path) as log:
        log({"step": 2, "loss": 0.125})
    assert read_metrics(tmp_path)["value"].tolist() == [0.25, 0.125]
