"""The driver of sweeps on a queue of jobs that take no time."""

import pytest
from sweep_queue import LABELS, FakeQueue

from vccapp.data.splits.split import make_split, write_split
from vccapp.drivers import sweep as driver
from vccapp.settings import Settings


@pytest.fixture
def queue(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    """The driver on a queue that is none, with a split 's'; a run's metric is its learning rate."""
    write_split(make_split(LABELS, name="s", dataset="d"), settings)
    found = FakeQueue(settings, lambda spec: spec.params["learning_rate"])
    write = driver.write_sweep

    def write_sweep(*given: object) -> None:
        found.act()
        write(*given)
        found.act()

    monkeypatch.setattr(driver, "start_job", found.start_job)
    monkeypatch.setattr(driver, "stop_job", found.stop_job)
    monkeypatch.setattr(driver, "reconcile", found.look)
    monkeypatch.setattr(driver, "write_sweep", write_sweep)
    monkeypatch.setattr(driver, "POLL_SECONDS", 0.0)
    monkeypatch.setattr("vccapp.training.record.is_locked", lambda path: True)  # a run that says so is running
    return found
