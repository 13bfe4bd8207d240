"""What nobody planned for, said in one sentence: a disk that is full, a folder that is gone, memory, a fault of ours.

    except Exception as error:
        code, sentence = describe(error)          # the words of libraries go to the log alone
        log = write_log(error, settings.home)

    except LIBRARY_ERRORS as error:
        refuse_shortage(error)                    # a file is not damaged because memory ran out while it was read
        raise DataError("file_damaged", ...)

The command line, the worker and the pages each end in one handler that says these sentences.
"""

import contextlib
import errno
import os
import re
import sqlite3
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from vccapp.errors import ResourceError, VccAppError

SHOWN_PATH = 120
"""Characters of a path that a sentence shows: its end."""
LOG = "app.log"
FULL = (errno.ENOSPC, errno.EDQUOT)
GONE = (errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.EREMOTEIO)
MEMORY = (
    "memory",
    "Memory ran out",
    "close other programs or change the limit (VCCAPP_MEMORY_GB, container, ulimit -v), then start it again",
)
GPU_MEMORY = (
    "gpu_memory",
    "The memory of the GPU ran out",
    "choose a smaller model or batch, or free the GPU of other programs, then start it again",
)
THREADS = (
    "threads",
    "No more threads or processes can be started",
    "close other programs or raise the limit (container, ulimit -u), then start it again",
)
SENTENCES: dict[int, tuple[str, str, str]] = {
    errno.ENOMEM: MEMORY,
    errno.ENOSPC: ("disk", "The disk is full", "free some space, then start it again"),
    errno.EDQUOT: ("disk", "The disk quota is used up", "delete files or ask for more, then start it again"),
    errno.EROFS: ("read_only", "The disk is read-only", "make it writable or choose a folder on another disk"),
    errno.EACCES: ("permission", "The permission to use a file or folder is missing", "change its permissions"),
    errno.EPERM: ("permission", "The permission to use a file or folder is missing", "change its permissions"),
    errno.ENOENT: ("file_missing", "A file or folder does not exist", "check the path and that its disk is there"),
    errno.ENOTDIR: ("not_a_folder", "A file stands where a folder is needed", "choose another path"),
    errno.EISDIR: ("is_a_folder", "A folder stands where a file is needed", "choose a file"),
    errno.EEXIST: ("path_taken", "A file or folder of this name exists already", "choose another name"),
    errno.ENAMETOOLONG: ("name_too_long", "The name is too long for the disk", "choose a shorter one"),
    errno.ELOOP: ("link_loop", "The link leads back to itself", "repair it"),
    errno.EMFILE: ("too_many_files", "Too many files are open", "close other programs or raise the limit (ulimit -n)"),
    errno.ENFILE: ("too_many_files", "Too many files are open", "close other programs or raise the limit (ulimit -n)"),
    errno.EFBIG: ("file_too_large", "The file is too large for the disk or its limit", "choose another disk"),
    **dict.fromkeys(GONE, ("disk_fault", "The disk does not answer", "check its connection and start again")),
}
_SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.ENOENT,
    sqlite3.SQLITE_PERM: errno.EACCES,
}
_SHORTAGES = (
    (GPU_MEMORY, re.compile(r"(?i)(cuda|hip|mps)\b.*out of memory|CU(BLAS|DNN|SOLVER|FFT)_STATUS_ALLOC_FAILED")),
    (
        THREADS,
        re.compile(
            r"(?im)can't start new thread|pthread_create|thread_init|(create|spawn|start)\w* (a |new |the )*thread"
            r"|ThreadPoolBuildError|^(?!.*\block\b).*resource temporarily unavailable"
        ),
    ),
    (
        MEMORY,
        re.compile(
            r"(?i)out of memory|bad_alloc|allocate \S* ?memory|unable to allocate|not enough memory|MemoryError"
            r"|memory (re)?allocation|failed to map segment|no space available for allocation|malloc.{0,40} failed"
        ),
    ),
)
"""How libraries and programs name a lack of something, where they have no class or number for it."""
_IN_TEXT = re.compile(r"(?:errno = |errno |os error )(\d+)")
"""How HDF5, Arrow and Rust's libraries name the number."""
OF_CODE = (LookupError, TypeError, AttributeError, NameError, AssertionError)
"""Faults of a program: what it was handling when they came is not their cause."""


def describe(error: BaseException) -> tuple[str, str]:
    """A code for programs, and one sentence: what went wrong, and what to do. Pure."""
    if isinstance(error, VccAppError):
        return error.code, str(error)
    if (lack := _lack_of(error)) is not None:
        code, problem, fix = lack
        return code, f"{problem}{_where(error)}; {fix}."
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "Stopped on request."
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "bad_name", "A path holds the character NUL, which no file can have; correct it."
    number = errno_of(error)
    if number in SENTENCES:
        code, problem, fix = SENTENCES[number]
        return code, f"{problem}{_where(error)}; {fix}."
    if isinstance(error, OSError):
        return "disk_fault", f"A file could not be read or written{_where(error)}; check the disk and try again."
    return "unexpected", f"Something unexpected went wrong ({type(error).__name__}); report it with the log."


def name_problem(number: int | None) -> str:
    """What is the matter, as part of a sentence: 'the disk is full'; empty for a number that says nothing."""
    problem = SENTENCES[number][1] if number in SENTENCES else ""
    return problem[:1].lower() + problem[1:]


def errno_of(error: BaseException) -> int | None:
    """The number of the system's error that is behind an error, also where a library has put it into its text."""
    for found in _causes(error):
        if isinstance(found, sqlite3.Error) and hasattr(found, "sqlite_errorcode"):
            return _SQLITE.get(found.sqlite_errorcode & 0xFF)
        if isinstance(found, OSError) and found.errno is not None:
            return found.errno
        named = _IN_TEXT.search(str(found))
        if named and not isinstance(found, VccAppError):
            return int(named[1])
    return None


def probe_disk(folder: Path) -> int | None:
    """The number of the error that writing in a folder would meet; None where the disk looks well.

    For libraries that only say that something failed.
    """
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return error.errno
    if found.f_flag & os.ST_RDONLY:
        return errno.EROFS
    return errno.ENOSPC if found.f_bavail == 0 else None


def write_log(error: BaseException, home: Path | None = None) -> Path | None:
    """Keep the whole of an error: in the workspace where there is one, else in a file of its own; or None."""
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{''.join(traceback.format_exception(error))}\n"
    if home is not None and home.is_dir():
        with contextlib.suppress(OSError), (home / LOG).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            return home / LOG
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(prefix="vccapp-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return Path(name)
    return None


def refuse_shortage(error: BaseException, *, name: str = "") -> None:
    """Raise ResourceError where a lack of memory, threads or processes is behind an error: nothing else is wrong.

    name : of what was read or written then
    """
    if (lack := _lack_of(error)) is not None:
        code, problem, fix = lack
        sentence = f"{name}: {problem[:1].lower()}{problem[1:]}" if name else problem
        raise ResourceError(code, sentence, fix=fix) from error


def find_shortage(text: str) -> ResourceError | None:
    """The lack of memory, threads or processes that a program's output tells of; None where it tells of none."""
    for (code, problem, fix), words in _SHORTAGES:
        if words.search(text):
            return ResourceError(code, problem, fix=fix)
    return None


def _lack_of(error: BaseException) -> tuple[str, str, str] | None:
    """Of memory, of the GPU's, or of threads: by the class, the number or the words of an error and its causes."""
    for found in _causes(error):
        if isinstance(found, (VccAppError, *OF_CODE)):
            continue
        for lack, words in _SHORTAGES:
            if words.search(str(found)):
                return lack
        if isinstance(found, MemoryError):
            return MEMORY
        if isinstance(found, OSError) and found.errno == errno.ENOMEM:
            return MEMORY
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, each once."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or (None if isinstance(found, OF_CODE) else found.__context__)


def _where(error: BaseException) -> str:
    """The file that an OSError names; a file that is being written is named as what it becomes."""
    names = [found.filename for found in _causes(error) if isinstance(found, OSError) and found.filename is not None]
    name = os.fsdecode(names[0]) if names and isinstance(names[0], str | bytes) else ""
    shown = " ".join(re.sub(r"/\.([^/]+?)\.[^./]+\.(?:old\.)?part", r"/\1", name).split())
    shown = shown if len(shown) <= SHOWN_PATH else f"...{shown[-SHOWN_PATH:]}"
    return f" ({shown})" if shown else ""
