"""Small text files of others, such as lists and tables: read whole, and never more than a limit."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from vccapp.errors import DataError
from vccapp.faults import refuse_shortage
from vccapp.wording import bytes_text

LIMIT = 2**26
"""Bytes of a list of genes, a table of counts, a record: thousands of times what they take."""


def read_bytes(path: Path, *, limit: int = LIMIT) -> bytes:
    """The content of a plain file of at most `limit` bytes. Raises DataError.

    file_missing, not_a_file (a folder, a device or a pipe), too_large, permission or file_unreadable.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DataError("file_missing", f"{path} does not exist", fix="check the path") from None
    except PermissionError:
        raise DataError("permission", f"You are not allowed to read {path}", fix="change its permissions") from None
    except (OSError, ValueError) as error:
        refuse_shortage(error)
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else "its name is no name of a file"
        raise DataError("file_unreadable", f"{_short(path)} cannot be read ({reason})", fix="check the path") from None
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode):
        os.close(handle)
        raise DataError("not_a_file", f"{path} is a folder, a device or a pipe, not a file", fix="choose a file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(min(limit, state.st_size) + 1)
    if len(content) > limit:
        raise DataError(
            "too_large",
            f"{path} has {bytes_text(state.st_size)}, more than the {bytes_text(limit)} that are read",
            found=state.st_size,
            fix="choose another file",
        )
    return content


def read_text(path: Path, *, limit: int = LIMIT) -> str:
    """The text of a file in UTF-8, a byte order mark left out. Raises DataError as `read_bytes`, and not_text."""
    content = read_bytes(path, limit=limit)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("not_text", f"{path} is in UTF-16", fix="save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("not_text", f"{path} is not text in UTF-8", fix="save it as UTF-8 text") from None
    if "\0" in text:
        raise DataError("not_text", f"{path} is not a text file", fix="choose another file")
    return text


def read_json(path: Path, *, limit: int = LIMIT) -> Any:
    """What a JSON file holds. Raises DataError as `read_text`, and not_json."""
    try:
        return json.loads(read_text(path, limit=limit))
    except (ValueError, RecursionError):
        raise DataError("not_json", f"{path} is not JSON", fix="choose another file") from None


def _short(path: Path) -> str:
    text = str(path).replace("\0", "")
    return text if len(text) <= 120 else f"{text[:117]}..."
