import subprocess
import sys
from pathlib import Path

import pytest

from vccapp.data.lock import hold_lock, is_locked
from vccapp.errors import JobError

HOLDER = """
import sys
from pathlib import Path
from vccapp.data.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds tmp_path/lock until its stdin is closed."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_of_another_process_is_busy_until_that_process_dies(holder: subprocess.Popen, tmp_path: Path) -> None:
    path, busy = tmp_path / "lock", JobError("busy", "Another process works here")
    assert is_locked(path)
    with pytest.raises(JobError) as caught, hold_lock(path, busy=busy):
        pytest.fail("held twice")
    assert caught.value is busy
    holder.kill()
    holder.wait()
    assert not is_locked(path)
    with hold_lock(path, busy=busy):
        assert is_locked(path)
    assert not is_locked(path)


def test_without_an_error_one_waits(holder: subprocess.Popen, tmp_path: Path) -> None:
    waiter = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.wait(timeout=0.5)
    holder.stdin.close()
    assert waiter.communicate()[0] == b"held\n"


def test_an_absent_lock_is_free(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
