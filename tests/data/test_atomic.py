"""Nothing half-written is visible; what a killed writer leaves goes at the next start, a living one keeps its own."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vccapp.data import atomic
from vccapp.data.atomic import remove_dead, save_array, scratch_folder, write_file, write_folder
from vccapp.data.lock import name_process
from vccapp.errors import SpecError

WAIT = """
import sys, time
from pathlib import Path
from vccapp.data.atomic import scratch_folder, write_file, write_folder
here = Path(sys.argv[1])
scratch = scratch_folder(here)
with write_file(here / "file") as file, write_folder(here / "folder") as folder:
    file.write_text("half"); (folder / "part").write_text("half")
    print("written", flush=True); time.sleep(60)
"""


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("next_start", ["write", "sweep"])
def test_what_a_killed_writer_left_goes_and_a_living_ones_stays(next_start: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WAIT, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"written\n"
        remove_dead(tmp_path)
        assert len(leftovers(tmp_path)) == 3
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert len(leftovers(tmp_path)) == 3
        if next_start == "write":
            with write_file(tmp_path / "another") as beside:
                beside.write_text("whole")
        else:
            remove_dead(tmp_path.parent)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("age", [0.0, 2 * atomic.OLD_SECONDS])
def test_what_others_left_goes_when_it_is_old(age: float, tmp_path: Path) -> None:
    names = [".x.h5ad.01234567.part", ".x.h5ad.ffffff-1-1-01234567.part"]
    for name in names:
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, ((tmp_path / name).stat().st_mtime - age,) * 2)
    (tmp_path / ".profile.part").write_text("a user's")
    remove_dead(tmp_path)
    assert leftovers(tmp_path) == sorted([".profile.part", *(names if not age else [])])


def test_a_folder_whose_writer_was_killed_while_it_was_replaced_is_put_back(tmp_path: Path) -> None:
    machine = name_process().split("-")[0]
    old = tmp_path / f".model.{machine}-1-999999-01234567.old.part"
    old.mkdir()
    (old / "whole").touch()
    remove_dead(tmp_path)
    assert (tmp_path / "model" / "whole").exists() and leftovers(tmp_path) == []


def test_a_replacement_that_fails_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with write_folder(tmp_path / "x") as beside:
        (beside / "first").touch()
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if target == tmp_path / "x" and "old" not in Path(source).name:
            raise OSError(errno.EROFS, "read-only")
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", fail)
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EROFS), write_folder(tmp_path / "x") as beside:
        (beside / "second").touch()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["first"] and leftovers(tmp_path) == []


def test_a_long_name_is_written(tmp_path: Path) -> None:
    with write_file(tmp_path / ("ä" * 120)) as beside:
        beside.write_text("whole")
    assert (tmp_path / ("ä" * 120)).read_text() == "whole"


def test_an_array_is_as_numpy_saves_it_and_its_error_has_a_number(tmp_path: Path) -> None:
    for array in (np.arange(10), np.asfortranarray(np.eye(3)), np.array(["a", "b"])):
        np.save(tmp_path / "numpy.npy", array)
        save_array(tmp_path / "ours.npy", array)
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    if Path("/dev/full").exists():
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
            save_array(Path("/dev/full"), np.zeros(10**5))


def test_scratch_goes_with_its_block(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new") as folder:
        assert Path(folder).is_dir()
    assert leftovers(tmp_path / "new") == []


def test_of_writers_of_one_folder_the_last_one_stays_and_none_fails(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def write(number: int) -> None:
        for _ in range(10):
            with write_folder(tmp_path / "model") as beside:
                for name in "ab":
                    (beside / name).write_text(str(number))
                with contextlib.suppress(threading.BrokenBarrierError):
                    together.wait(timeout=30)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert len({(tmp_path / "model" / name).read_text() for name in "ab"}) == 1
    assert leftovers(tmp_path) == []


def test_a_new_file_is_not_written_over_one_that_came_in_between(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refused, write_file(tmp_path / "x", new=True) as beside:
        beside.write_text("mine")
        (tmp_path / "x").write_text("another's")
    assert refused.value.code == "output_exists" and (tmp_path / "x").read_text() == "another's"
    assert leftovers(tmp_path) == []


def test_of_writers_of_a_new_folder_the_first_one_stays_and_the_others_are_told(tmp_path: Path) -> None:
    target, together = tmp_path / "folder", threading.Barrier(4)

    def write(number: int) -> bool:
        try:
            with write_folder(target, new=True) as beside:
                (beside / "number").write_text(str(number))
                together.wait()
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(write, range(4)))
    assert ended.count(True) == 1
    assert (target / "number").read_text() == str(ended.index(True))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
