"""Work within a limit of memory and time, in this process and in a child."""

import os
import sys
from pathlib import Path

import child_work
import pytest
from refusals import refusal

from vccapp.data.stores import bounded
from vccapp.data.stores.bounded import memory_bounded, run_bounded
from vccapp.errors import DataError, ResourceError


@pytest.fixture(scope="module", autouse=True)
def opener() -> None:
    """The process beside this one must find the module of the tests."""
    kept = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(child_work.__file__).parent), kept])
    bounded._running = None
    bounded.start_opener()
    os.environ["PYTHONPATH"] = kept
    assert "child_work" in sys.modules


@pytest.mark.slow
def test_memory_bounded() -> None:
    with pytest.raises(MemoryError), memory_bounded(10**8):
        child_work.take(10**9)
    assert child_work.take(10**8) == 10**8


@pytest.mark.slow
def test_a_child_gives_what_the_function_gives() -> None:
    assert run_bounded(child_work.take, 1000, memory_bytes=10**9) == 1000


def test_a_child_raises_what_the_function_raises() -> None:
    with refusal(DataError, "no_x"):
        run_bounded(child_work.refuse, memory_bytes=10**9)


@pytest.mark.parametrize("work", [(child_work.take, 10**10), (child_work.die,)])
def test_a_child_that_takes_too_much_or_dies(work: tuple) -> None:
    with refusal(ResourceError, "memory"):
        run_bounded(*work, memory_bytes=10**8)
    assert run_bounded(child_work.take, 1, memory_bytes=10**8) == 1


def test_a_child_that_takes_too_long() -> None:
    with refusal(ResourceError, "too_slow"):
        run_bounded(child_work.sleep, 60.0, memory_bytes=10**8, timeout_s=0.5)
