"""Files of our own: each says what it is and of which version, and a reader says in a sentence what it cannot read.

    SPLIT = Format("split", fix="make the split again")
    write_json(path, SPLIT.stamp(split.model_dump(mode="json")))      # {"format": "split", "version": 1, ...}
    split = read_record(path, SPLIT, Split.model_validate)
    splits = list_records(folder.glob("*.json"), load); splits.unreadable       # what a list must show as such

The version of a format is raised when its fields change, and a migration from the version before is kept for ever.
Files of 0.1.0 say neither, and are version 1. `tests/archives` holds a file of each kind from each released version.
"""

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

from vccapp.errors import DataError, SpecError, VccAppError, explain
from vccapp.faults import refuse_shortage
from vccapp.textfiles import read_bytes
from vccapp.wording import reason_text

T = TypeVar("T")
Migration = Callable[[dict[str, Any]], dict[str, Any]]

DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    LookupError,
    TypeError,
    ValueError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
)
"""What readers of tables and arrays raise for a file that is cut short or is none of theirs."""


@dataclass(frozen=True)
class Format:
    """One kind of file. migrations : by version, to the fields of the next; fix : what to do about a damaged one."""

    name: str
    version: int = 1
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    fix: str = "delete it and run the step that writes it again"

    def __post_init__(self) -> None:
        if set(self.migrations) != set(range(1, self.version)):
            msg = f"The format {self.name} of version {self.version} has migrations from {sorted(self.migrations)}"
            raise ValueError(msg)

    def stamp(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What a file of these fields says."""
        return {"format": self.name, "version": self.version, **fields}

    def migrate(self, content: Any, path: Path) -> dict[str, Any]:
        """The fields of this version from what a file says. Raises DataError as `read_record` does."""
        if not isinstance(content, dict):
            raise self.damaged(path, f"it holds a {type(content).__name__}")
        version: object = 1
        fields: dict[str, Any] = content
        if "format" in content:
            fields = {key: value for key, value in content.items() if key not in ("format", "version")}
            name, version = content["format"], content.get("version", 0)
            if name != self.name:
                raise DataError(
                    "other_format",
                    f"{path} is a file of another kind ({name}, not {self.name})",
                    found=name,
                    fix="use another file",
                )
        if type(version) is not int or version < 1:
            raise self.damaged(path, f"its version is {version!r}")
        if version > self.version:
            raise DataError(
                "newer_format",
                f"{path} was written by a newer version of the app (a {self.name} of version {version}, and this app "
                f"reads up to {self.version})",
                found=version,
                fix="update the app",
            )
        try:
            for older in range(version, self.version):
                fields = self.migrations[older](fields)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise self.damaged(path, _reason(error)) from None
        return fields

    def damaged(self, path: Path, reason: str) -> DataError:
        return DataError("record_damaged", f"{path} is damaged ({reason})", found=reason, fix=self.fix)


@overload
def read_record(path: Path, format: Format) -> dict[str, Any]: ...
@overload
def read_record(path: Path, format: Format, parse: Callable[[dict[str, Any]], T]) -> T: ...
def read_record(path: Path, format: Format, parse: Callable[[dict[str, Any]], Any] = dict) -> Any:
    """What `parse` makes of a file's fields, in this version of the format.

    Raises DataError: file_missing, file_unreadable, record_damaged (fields that `parse` refuses included),
    other_format or newer_format.
    """
    try:
        content = json.loads(read_bytes(path))
    except DataError as error:
        if error.code == "file_missing":
            raise DataError(error.code, error.problem, fix="run the step that writes it first") from None
        raise DataError("file_unreadable", error.problem, found=error.code, fix=error.fix) from None
    except (ValueError, RecursionError):
        raise format.damaged(path, "it is not JSON") from None
    fields = format.migrate(content, path)
    try:
        return parse(fields)
    except SpecError as error:
        raise format.damaged(path, error.problem) from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise format.damaged(path, _reason(error)) from None


@contextlib.contextmanager
def undamaged(path: Path, *also: type[Exception], fix: str = "run the step that writes it again") -> Iterator[None]:
    """Around reading a table or an array of ours: a file that is no such thing, or is gone, is a DataError.

    also : errors of the library that reads, beyond Python's
    """
    damage = (*DAMAGE, *also)
    try:
        yield
    except FileNotFoundError:
        raise DataError("file_missing", f"{path} does not exist", fix=fix) from None
    except damage as error:
        refuse_shortage(error)
        raise DataError("file_damaged", f"{path} is damaged ({_reason(error)})", fix=fix) from None


@dataclass(frozen=True)
class Unreadable:
    """An entry of a list that could not be read."""

    path: Path
    error: VccAppError


class Listing(list[T]):
    """The entries of a list, and those that could not be read: both are to be shown."""

    def __init__(self, entries: Iterable[T] = (), unreadable: Iterable[Unreadable] = ()) -> None:
        super().__init__(entries)
        self.unreadable = tuple(unreadable)


def list_records(paths: Iterable[Path], read: Callable[[Path], T]) -> Listing[T]:
    """What `read` makes of each path."""
    entries, unreadable = [], []
    for path in sorted(paths):
        try:
            entries.append(read(path))
        except VccAppError as error:
            unreadable.append(Unreadable(path, error))
    return Listing(entries, unreadable)


def _reason(error: Exception) -> str:
    """In a few words."""
    if hasattr(error, "errors"):
        from pydantic import ValidationError  # which then is imported already

        if isinstance(error, ValidationError):
            return explain(error)
    if isinstance(error, KeyError):
        return f"it lacks {error.args[0]!r}"
    return reason_text(error)
