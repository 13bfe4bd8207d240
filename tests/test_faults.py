"""What nobody planned for is a code and one sentence of our own; the library's words are in the log alone."""

import errno
import itertools
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import pytest
import torch
from safetensors import SafetensorError
from zstandard import ZstdError

from vccapp.cli import main
from vccapp.data.stores.files import reading
from vccapp.errors import DataError, ResourceError
from vccapp.faults import SENTENCES, describe, errno_of, find_shortage, refuse_shortage, write_log
from vccapp.records import undamaged

CODES = {
    errno.ENOSPC: "disk",
    errno.EDQUOT: "disk",
    errno.EROFS: "read_only",
    errno.EACCES: "permission",
    errno.ENOENT: "file_missing",
    errno.EISDIR: "is_a_folder",
    errno.ENAMETOOLONG: "name_too_long",
    errno.EMFILE: "too_many_files",
    errno.EFBIG: "file_too_large",
    errno.EIO: "disk_fault",
}
FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")


@pytest.mark.parametrize("number", SENTENCES)
def test_an_error_of_the_system_is_told_by_its_number(number: int) -> None:
    code, sentence = describe(OSError(number, "a word of the system", "/data/.x.h5ad.0a1b2c-12-34-01234567.part"))
    assert code == CODES.get(number, code)
    assert "a word of the system" not in sentence and "(/data/x.h5ad)" in sentence
    assert len(sentence) < 300 and sentence.endswith(".")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("odd", "A sentence"), "odd"),
        (MemoryError("Unable to allocate 9 GiB"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (OSError("Unable to synchronously open object (no space available for allocation)"), "memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "memory"),
        (SafetensorError("Error while deserializing: Cannot allocate memory (os error 12)"), "memory"),
        (RuntimeError("unable to mmap 9 bytes from file <x>: Cannot allocate memory (12)"), "memory"),
        (ZstdError("zstd compress error: Allocation error : not enough memory"), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB. GPU 0 has 1 GiB"), "gpu_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "gpu_memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "threads"),
        (RuntimeError("could not spawn threads: ThreadPoolBuildError { kind: IOError(Os { code: 11 }) }"), "threads"),
        # A file that another program has locked.
        (BlockingIOError(errno.EAGAIN, "Unable to open file (unable to lock file, errno = 11)"), "disk_fault"),
        (KeyboardInterrupt(), "stopped"),
        (ValueError("embedded null byte"), "bad_name"),
        (OSError("12 requested and 0 written"), "disk_fault"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk"),
        (ValueError("odd"), "unexpected"),
        (KeyError("odd"), "unexpected"),
    ],
)
def test_anything_else_is_a_code_and_a_sentence(error: BaseException, code: str) -> None:
    found, sentence = describe(error)
    assert found == code
    assert not set(str(error).split()[1:]) & {"9", "12", "requested"} & set(sentence.split())


SHORTAGES: dict[str, BaseException] = {
    "memory": MemoryError(),
    "threads": RuntimeError("can't start new thread"),
    "gpu_memory": torch.OutOfMemoryError("CUDA out of memory."),
}


@pytest.mark.parametrize("code", SHORTAGES)
def test_no_reader_takes_a_shortage_for_a_damaged_file(code: str, tmp_path: Path) -> None:
    """In whatever way a library wraps it."""
    lack = SHORTAGES[code]

    def fail(*, wrapped: bool) -> None:
        if wrapped:
            try:
                raise lack
            except type(lack) as error:
                raise OSError("the library cannot read it") from error
        raise lack

    path = tmp_path / "x"
    guards: list[Callable[[], AbstractContextManager[None]]] = [lambda: undamaged(path), lambda: reading(path)]
    for guard, wrapped in itertools.product(guards, (False, True)):
        with pytest.raises((MemoryError, ResourceError)) as raised, guard():
            fail(wrapped=wrapped)
        assert describe(raised.value)[0] == code


def test_only_a_shortage_is_refused_as_one() -> None:
    for error in (ValueError("odd"), KeyError("memory"), DataError("odd", "Out of memory"), OSError(errno.EIO, "gone")):
        refuse_shortage(error)
    assert find_shortage("Traceback ...\nnumpy.exceptions: all well") is None
    told = find_shortage("Traceback ...\nnumpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB\n")
    assert told is not None and told.code == "memory"


def test_a_long_path_is_shown_by_its_end() -> None:
    _, sentence = describe(OSError(errno.ENOSPC, "full", f"/{'long/' * 100}\nx.h5ad"))
    assert len(sentence) < 300 and "/ x.h5ad)" in sentence and "\n" not in sentence


@full
@pytest.mark.parametrize("library", ["hdf5", "torch", "arrow", "sqlite"])
def test_what_libraries_say_of_a_full_disk_is_understood(library: str) -> None:
    import pandas as pd

    def write() -> None:
        if library == "hdf5":
            h5py.File("/dev/full", "w")
        elif library == "torch":
            with FULL.open("wb", buffering=0) as file:
                torch.save({"x": torch.zeros(9)}, file)
        elif library == "arrow":
            with FULL.open("wb", buffering=0) as file:  # by its name Arrow would remove it
                pd.DataFrame({"x": range(99)}).to_parquet(file)
        else:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    with pytest.raises(Exception) as raised:  # noqa: PT011  (each library has its own)
        write()
    assert errno_of(raised.value) == errno.ENOSPC and describe(raised.value)[0] == "disk"


def test_a_fault_of_ours_is_not_taken_for_what_was_handled_before_it() -> None:
    with pytest.raises(KeyError) as raised:
        try:
            raise FileNotFoundError(errno.ENOENT, "gone")
        except FileNotFoundError:
            {}["key"]
    assert describe(raised.value)[0] == "unexpected"


def test_the_whole_error_is_in_the_log(tmp_path: Path) -> None:
    assert write_log(ValueError("all of it"), tmp_path) == tmp_path / "app.log"
    assert "ValueError: all of it" in (tmp_path / "app.log").read_text()
    elsewhere = write_log(ValueError("all of it"), tmp_path / "no workspace")
    assert elsewhere is not None and "all of it" in elsewhere.read_text()
    elsewhere.unlink()


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "disk"),
        (ZeroDivisionError("inside"), 1, "unexpected"),
        (MemoryError(), 1, "memory"),
        (DataError("odd", "A sentence"), 2, "odd"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_command_ends_in_one_sentence(
    error: BaseException,
    exit_code: int,
    code: str,
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setenv("VCCAPP_HOME", str(tmp_path))
    monkeypatch.setattr("vccapp.data.workspace.list_datasets", fail)
    with pytest.raises(SystemExit) as end:
        main(["data", "list", *(["--json"] if as_json else [])])
    told = capsys.readouterr().err
    assert end.value.code == exit_code and "Traceback" not in told and "inside" not in told
    assert json.loads(told)["code"] == code if as_json else told.startswith("Error: ") and told.count("\n") == 1
    assert (tmp_path / "app.log").exists() == (exit_code == 1)


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vccapp.data.workspace.list_datasets", stop)
    with pytest.raises(SystemExit) as end:
        main(["data", "list"])
    assert end.value.code == 130 and "Traceback" not in capsys.readouterr().err
