"""The datasets that a workspace knows, and the data files it may open.

    workspace/datasets/<fingerprint>/dataset.json    path, columns, schema, title, ...; index/ beside it once built

Light to import: pages list datasets with it. A file is known by its content; where path, size and time of change are
as registered, it is not hashed again.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vccapp.data.atomic import write_json
from vccapp.data.schema import Columns, Schema
from vccapp.data.stores.access import Access
from vccapp.data.stores.places import SUFFIXES, find_place, is_remote, resolved
from vccapp.data.stores.survey import find_linked
from vccapp.errors import DataError
from vccapp.records import Format, Listing, list_records, read_record
from vccapp.settings import Settings

if TYPE_CHECKING:
    from vccapp.data.reading.dataset import Dataset

DATASET = Format("dataset", fix="open the data file again")
MAX_DEPTH = 4
MAX_FILES = 500


@dataclass(frozen=True)
class Record:
    """A registered dataset."""

    fingerprint: str
    title: str
    path: Path  # the first of paths
    paths: tuple[Path, ...]
    columns: Columns
    schema: Schema
    simulated: bool
    registered_at: datetime
    index_folder: Path

    @property
    def has_index(self) -> bool:
        return (self.index_folder / "index.json").is_file()


def register(
    dataset: "Dataset", settings: Settings, *, title: str | None = None, simulated: bool | None = None
) -> Path:
    """Make a dataset known to the workspace; returns its folder. Again: path and columns are taken anew.

    simulated : None asks the file itself, as does a title of None (the file's name).
    """
    folder = settings.datasets / dataset.fingerprint
    paths = [resolved(path) for path in dataset.paths]
    record = {
        "title": title or ", ".join(path.stem for path in paths),
        "path": str(paths[0]),
        "paths": [str(path) for path in paths],
        "columns": dataset.columns.model_dump(mode="json"),
        "schema": dataset.schema.model_copy(update={"path": paths[0]}).model_dump(mode="json"),
        "simulated": dataset.simulated if simulated is None else simulated,
        "registered_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": [file_state(path) for path in paths],
    }
    write_json(folder / "dataset.json", DATASET.stamp(record))
    return folder


def list_datasets(settings: Settings) -> Listing[Record]:
    """All registered datasets, latest first."""
    records = list_records(settings.datasets.glob("*/dataset.json"), lambda path: _record(path.parent))
    records.sort(key=lambda record: (record.registered_at, record.fingerprint), reverse=True)
    return records


def find_ignored(fingerprint: str, settings: Settings) -> str | None:
    """The context of a registered dataset that the user ignored; None also for a dataset that is not known."""
    folder = settings.datasets / fingerprint
    with contextlib.suppress(DataError):
        return _record(folder).schema.context_ignored if (folder / "dataset.json").is_file() else None
    return None


def open_registered(fingerprint: str, settings: Settings) -> "Dataset":
    """Open a registered dataset. Raises DataError when it is unknown, or its file is gone or has changed."""
    from vccapp.data.reading.opening import open_dataset

    folder = settings.datasets / fingerprint
    if not re.fullmatch(r"[0-9a-f]{16}", fingerprint) or not (folder / "dataset.json").is_file():
        raise DataError(
            "unknown_dataset",
            f"The workspace has no dataset '{fingerprint}'",
            fix="open its file first",
        )
    record = _record(folder)
    _require_there(record)
    saved, state = read_record(folder / "dataset.json", DATASET), [file_state(path) for path in record.paths]
    dataset = open_dataset(record.paths, columns=record.columns, access=Access.of(settings))
    if saved["state"] == state:
        dataset.fingerprint = fingerprint
    elif dataset.fingerprint == fingerprint:
        write_json(folder / "dataset.json", DATASET.stamp(saved | {"state": state}))
    else:
        raise DataError(
            "data_changed",
            f"{record.path.name}: it has changed since it was opened as {fingerprint}",
            fix="open and index it again",
        )
    return dataset


def source_fault(record: Record) -> DataError | None:
    """Why the data file of a dataset is not the one that was opened, by its path, size and time alone; None: it is.

    Cheap, for lists and for what starts work; `open_registered` then asks the content. An address is not asked.
    """
    try:
        _require_there(record)
        known = read_record(record.index_folder.with_name("dataset.json"), DATASET).get("state", [])
        found = [file_state(path) for path in record.paths if not is_remote(path)]
    except DataError as error:
        return error
    except OSError:  # it goes while it is looked at, or may not be looked at
        return _gone(record.path)
    changed = [state for state in found if state not in known]
    if not changed:
        return None
    sizes = {state["path"]: state["size"] for state in known}
    one = next((state for state in changed if sizes.get(state["path"]) != state["size"]), changed[0])
    how = "written again" if sizes.get(one["path"]) == one["size"] else "changed in size"
    return DataError(
        "data_changed",
        f"{Path(one['path']).name}: it was {how} since it was opened as {record.fingerprint}",
        fix="open and index it again where its cells are others",
    )


def explain_missing(fingerprint: str, settings: Settings) -> str:
    """A sentence where the data are not known any more, or their file is not the one that was opened; else empty."""
    try:
        record = _record(settings.datasets / fingerprint)
    except DataError:
        return f"The data {fingerprint} are not registered any more; open their file again."
    fault = source_fault(record)
    if fault is None or fault.code in ("data_gone", "data_changed"):
        return "" if fault is None else str(fault)
    return f"{record.path.name}: {fault}"


def require_source(fingerprint: str, settings: Settings) -> None:
    """Raise DataError where the data file of a dataset is gone: what reads it need not be started."""
    folder = settings.datasets / fingerprint
    if (folder / "dataset.json").is_file():
        _require_there(_record(folder))


def _require_there(record: Record) -> None:
    for path in record.paths:
        if not _is_there(path):
            raise _gone(path)


def _gone(path: Path) -> DataError:
    fix = "put it back, or open it in its new place"
    return DataError("data_gone", f"{path.name}: it is no longer in {path.parent}", fix=fix)


def _record(folder: Path) -> Record:
    return read_record(
        folder / "dataset.json",
        DATASET,
        lambda saved: Record(
            fingerprint=folder.name,
            title=saved["title"],
            path=Path(saved["path"]),
            paths=tuple(map(Path, saved["paths"])),
            columns=Columns.model_validate(saved["columns"]),
            schema=Schema.model_validate(saved["schema"]),
            simulated=saved["simulated"],
            registered_at=datetime.fromisoformat(saved["registered_at"]),
            index_folder=folder / "index",
        ),
    )


def _is_there(path: Path) -> bool:
    try:
        find_place(path)
    except DataError as error:
        return error.code != "file_missing"
    return True


def file_state(path: Path) -> dict[str, Any]:
    """Size and time of the last change of a file and of those that it links to, or of all files of a zarr folder.

    That of an address is never known, so its content is asked each time.
    """
    if is_remote(path):
        return {"path": str(path), "size": None, "mtime_ns": time.time_ns()}
    file = find_place(path).file
    stats = [file.stat()]
    if file.is_file():
        stats += [linked.stat() for linked in find_linked(file)]
    for folder, _, names in os.walk(file):
        stats += [Path(folder, name).stat() for name in names]
    return {"path": str(path), "size": sum(s.st_size for s in stats), "mtime_ns": max(s.st_mtime_ns for s in stats)}


def list_data_files(settings: Settings) -> list[Path]:
    """The data files under the data roots and the demo: at most MAX_DEPTH folders deep, MAX_FILES, sorted.

    Hidden things, what the app writes itself, and links that lead out of the roots are left out.
    """
    found: dict[Path, None] = {}
    for root in _roots(settings):
        for path in _walk(root, settings):
            if len(found) < MAX_FILES and _is_inside(path.resolve(), settings):
                found[path] = None
    return sorted(found)


def check_allowed(path: Path | str, settings: Settings) -> Path:
    """The path with links resolved. Raises DataError unless it lies under a data root or is the demo."""
    if is_remote(path):
        raise DataError(
            "outside_roots",
            f"{path} is an address, and pages open only what lies in the data folders",
            fix="index it once with `vccapp data index`",
        )
    real = resolved(path)
    if not _is_inside(real, settings):
        roots = ", ".join(map(str, settings.data_roots))
        raise DataError(
            "outside_roots",
            f"{path} is outside the data folders ({roots})",
            fix="move it there or add its folder to VCCAPP_DATA_ROOTS",
        )
    return real


def _roots(settings: Settings) -> tuple[Path, ...]:
    return (*settings.data_roots, settings.demo)


def _is_inside(path: Path, settings: Settings) -> bool:
    return any(path.is_relative_to(root) for root in _roots(settings))


def _walk(root: Path, settings: Settings) -> Iterator[Path]:
    own = {settings.home / "converted", settings.datasets, settings.submissions, settings.jobs, settings.checkpoints}
    for name, folders, files in os.walk(root):
        folder = Path(name)
        yield from (folder / f for f in files if f.lower().endswith(SUFFIXES) and not f.startswith("."))
        yield from (folder / f for f in folders if f.endswith(".zarr") and not f.startswith("."))
        deep = len(folder.relative_to(root).parts) >= MAX_DEPTH
        folders[:] = (
            []
            if deep
            else sorted(
                f for f in folders if not f.startswith(".") and not f.endswith(".zarr") and folder / f not in own
            )
        )
