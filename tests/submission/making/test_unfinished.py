"""Cells that were stopped, killed or met a full disk go on where they were, and end with the same bytes."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import TESTS
from refusals import refusal
from scipy.sparse import random as random_csr

from vccapp.data import h5ad
from vccapp.data.h5ad import CsrWriter
from vccapp.errors import JobError, SpecError, Stopped
from vccapp.submission.making import unfinished
from vccapp.submission.making.unfinished import folder_of, open_unfinished, taken_bytes

PIECES = [400, 30, 700, 400, 1, 900, 400, 650, 400, 300]
LABELS = [("ABC"[i % 3], "xy"[i % 2]) for i in range(len(PIECES))]
GENES = [f"GENE{i}" for i in range(2000)]
KILLED = """
import os, sys
from pathlib import Path
import test_unfinished
def kill(piece, part):
    if f"{piece} {part}" == sys.argv[2]:
        os.kill(os.getpid(), 9)
test_unfinished.unfinished.CHECKPOINT_VALUES = test_unfinished.OFTEN
test_unfinished.make(Path(sys.argv[1]), on=kill)
"""
OFTEN = 400_000
"""Values of a checkpoint here: many in a file of 60 MB."""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "CHECKPOINT_VALUES", OFTEN)


def make(out: Path, *, key: str = "mine", on=lambda piece, part: None, expected: int = 0) -> list[int]:
    """Write the pieces, each in parts; returns which were made, not taken from before. expected : of `CsrWriter`"""
    made = []
    with open_unfinished(out, key) as work:
        choices = {"pert_col": "target", "context_col": "line", "reserved": 70_000_000, "expected": expected}
        with CsrWriter(work.path, genes=GENES, **choices, again=work.begun) as writer:
            work.resume(writer, LABELS[: len(work.done)])
            for piece in range(len(work.done), len(PIECES)):
                made.append(piece)
                rng = np.random.default_rng(piece)
                block = random_csr(PIECES[piece], len(GENES), 0.5, format="csr", rng=rng, dtype=np.float32)
                for part, rows in enumerate((slice(0, 250), slice(250, None))):
                    on(piece, part)
                    writer.append(block[rows], *LABELS[piece])
                work.keep(writer, PIECES[piece], block.nnz)
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("whole") / "x.h5ad"
    make(out)
    assert [path.name for path in out.parent.iterdir()] == ["x.h5ad"]
    return out.read_bytes()


@pytest.mark.slow
def test_nothing_of_the_going_on_shows_in_the_file(whole: bytes, tmp_path: Path) -> None:
    with CsrWriter(tmp_path / "x.h5ad", genes=GENES, pert_col="target", context_col="line") as writer:
        for piece, n in enumerate(PIECES):
            rng = np.random.default_rng(piece)
            block = random_csr(n, len(GENES), 0.5, format="csr", rng=rng, dtype=np.float32)
            for rows in (slice(0, 250), slice(250, None)):
                writer.append(block[rows], *LABELS[piece])
    assert (tmp_path / "x.h5ad").read_bytes() == whole
    assert len(whole) / h5ad.CHUNK / h5ad.VALUE_BYTES > 4 * h5ad.CACHED  # HDF5 wrote some before the end


def stop(*, at: tuple[int, int], error: type[BaseException] | BaseException):
    def on(piece: int, part: int) -> None:
        if (piece, part) == at:
            raise error

    return on


@pytest.mark.slow
@pytest.mark.parametrize("at", [(0, 0), (1, 0), (5, 1), (9, 1)])
def test_stopped_and_gone_on_with(at: tuple[int, int], whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "x.h5ad"
    with pytest.raises(Stopped):
        make(out, on=stop(at=at, error=Stopped))
    assert not out.exists()
    assert folder_of(out).exists() == (at[0] > 0)  # nothing safe, nothing kept
    made = make(out)
    assert made[0] in (at[0] - 1, at[0])  # a small piece is made safe with the next
    assert out.read_bytes() == whole and [path.name for path in tmp_path.iterdir()] == ["x.h5ad"]


@pytest.mark.slow
def test_columns_of_8_bytes_are_gone_on_with_too(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.h5ad", tmp_path / "x.h5ad"
    make(whole, expected=h5ad.WIDE)
    with pytest.raises(Stopped):
        make(out, expected=h5ad.WIDE, on=stop(at=(8, 1), error=Stopped))
    assert make(out, expected=h5ad.WIDE)[0] > 0
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("MOMENTS", "3"))))
def test_killed_twice_and_gone_on_with(seed: int, whole: bytes, tmp_path: Path) -> None:
    out, rng = tmp_path / "x.h5ad", random.Random(seed)
    paths = [str(Path(__file__).parent), str(TESTS / "support"), str(TESTS.parent)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    first = rng.randrange(1, 9)
    for at in ((first, rng.randrange(2)), (rng.randrange(first, 10), rng.randrange(2))):
        words = [sys.executable, "-c", KILLED, str(out), f"{at[0]} {at[1]}"]
        done = subprocess.run(words, capture_output=True, text=True, env=env)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not out.exists()
    assert taken_bytes(out) > 0
    assert make(out)[0] >= first - 1
    assert out.read_bytes() == whole and [path.name for path in tmp_path.iterdir()] == ["x.h5ad"]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_full_disk_and_gone_on_with(share: float, whole: bytes, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: None)  # what else was written takes the space
    out, before = tmp_path / "x.h5ad", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(len(whole) * share), before[1]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.EFBIG):
            make(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not out.exists()
    assert make(out)[0] > 0
    assert out.read_bytes() == whole


@pytest.mark.slow
def test_another_key_begins_anew(whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "x.h5ad"
    with pytest.raises(Stopped):
        make(out, key="other", on=stop(at=(5, 0), error=Stopped))
    assert make(out)[0] == 0
    assert out.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["checkpoint.npz", "cells.h5ad"])
def test_a_damaged_checkpoint_is_none(name: str, spoil, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "x.h5ad"
    with pytest.raises(Stopped):
        make(out, on=stop(at=(5, 0), error=Stopped))
    spoil(folder_of(out) / name)
    assert make(out)[0] == 0
    assert out.read_bytes() == whole


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "x.h5ad"
    with refusal(SpecError, "bad_cells"):
        make(out, on=stop(at=(5, 0), error=SpecError("bad_cells", "No cells")))
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "x.h5ad"
    with open_unfinished(out, "mine") as work:
        work.path.touch()
        with refusal(JobError, "cells_busy"):
            make(out)
