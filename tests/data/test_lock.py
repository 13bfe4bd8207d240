import select
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


@pytest.mark.slow
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


@pytest.mark.slow
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


WAITER = """
import shutil, sys
from pathlib import Path
from vccapp.data.lock import hold_lock
path = Path(sys.argv[1])
with hold_lock(path) as is_there:
    print("held", flush=True)
    sys.stdin.read()
    assert is_there()
    shutil.rmtree(path.parent)
    assert not is_there()
"""


def test_who_waited_for_a_lock_that_its_holder_removed_holds_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "work" / "lock"
    words = [sys.executable, "-c", WAITER, str(path)]
    first, second = (subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2))
    try:
        for process in (first, second):
            assert process.stdout is not None
        # Either may be the first; the other holds a file that is there when the first has removed its own.
        ready, _, _ = select.select([first.stdout, second.stdout], [], [])
        holder, waiter = (first, second) if ready[0] is first.stdout else (second, first)
        assert holder.stdout.readline() == b"held\n"
        holder.stdin.close()
        assert holder.wait() == 0
        assert waiter.stdout.readline() == b"held\n" and is_locked(path)
        waiter.stdin.close()
        assert waiter.wait() == 0 and not path.exists()
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
