"""Paths as people write them: `~`, relative ones, and what no path can be."""

from pathlib import Path

from vccapp.errors import SHOWN, DataError

LONGEST_NAME = 255
"""Bytes of a name that file systems take."""
LONGEST_PATH = 4095


def user_path(text: str | Path) -> Path:
    """What a user wrote as a path, `~` replaced. Raises DataError for what no file can be called."""
    name = str(text).strip()
    shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
    data = name.encode(errors="surrogateescape")
    if "\0" in name:
        raise DataError("bad_path", f"'{shown}' holds a zero byte, which no path can", fix="write another path")
    if len(data) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in data.split(b"/")):
        raise DataError("bad_path", f"'{shown}' is longer than a path can be", fix="write another path")
    try:
        return Path(name).expanduser()
    except RuntimeError:
        user = name.partition("/")[0][1:]
        raise DataError(
            "bad_path", f"There is no user '{user}' on this machine", fix="write the path in full"
        ) from None


def is_there(text: str, *, folder: Path) -> bool:
    """Whether a path, relative to `folder`, names something; False for what is no path."""
    try:
        return bool(text.strip()) and (folder / user_path(text)).exists()
    except (DataError, OSError):
        return False


def absolute(text: str, *, folder: Path) -> str:
    """A path that is there, made absolute; any other text as it is."""
    return str((folder / user_path(text)).absolute()) if is_there(text, folder=folder) else text
