"""Deleted runs: a folder beside the runs, from which they come back until it is emptied.

    delete_run(run_id, settings); restore_run(run_id, settings)
    list_deleted(settings); empty_bin(settings)

    checkpoints/.bin/<time>.<run id>/    what was the run's folder: moved by one rename, so it is there or here, whole
    checkpoints/.bin/<time>.<run id>     an empty file, once it was emptied: the run is gone on purpose

A run that is being trained cannot be deleted: who trains it holds its lock.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vccapp.data.atomic import remove_folder, sync
from vccapp.data.lock import hold_lock
from vccapp.errors import SpecError
from vccapp.settings import Settings
from vccapp.training.record import run_folder

BIN = ".bin"
_TIME = "%Y%m%d-%H%M%S-%f"
_NAME = re.compile(r"(\d{8}-\d{6}-\d{6})\.(.+)")


@dataclass(frozen=True)
class Deleted:
    """A run in the bin. when : it was deleted, UTC; size : bytes of its files"""

    run: str
    when: datetime
    folder: Path
    size: int


def delete_run(run_id: str, settings: Settings, *, now: datetime | None = None) -> Path:
    """Move a run to the bin; returns where it lies now. Raises SpecError for one that is unknown, or being trained."""
    folder = run_folder(run_id, settings)
    if not folder.is_dir():
        raise _unknown(run_id, settings)
    bin = settings.checkpoints / BIN
    bin.mkdir(exist_ok=True)
    target = bin / f"{now or datetime.now(UTC):{_TIME}}.{run_id}"
    busy = SpecError("run_busy", f"The run {run_id} is being trained, so it cannot be deleted", fix="stop it first")
    with hold_lock(folder / "lock", busy=busy):
        folder.rename(target)
    sync(bin)
    sync(settings.checkpoints)
    return target


def restore_run(run_id: str, settings: Settings) -> Path:
    """Move the run of this id that was deleted last back to its place. Raises SpecError where that cannot be."""
    found = [one for one in list_deleted(settings) if one.run == run_id]
    if not found:
        raise SpecError("not_deleted", f"The bin has no run '{run_id}'", fix="see `vccapp runs list --deleted`")
    folder = run_folder(run_id, settings)
    if folder.exists():
        raise SpecError("run_exists", f"There is a run '{run_id}' again", fix="delete or move that one first")
    found[0].folder.rename(folder)
    sync(settings.checkpoints)
    return folder


def list_deleted(settings: Settings) -> list[Deleted]:
    """What can be brought back; the one that was deleted last comes first."""
    found = []
    for folder, name in _names(settings):
        if folder.is_dir():
            when = datetime.strptime(name[1], _TIME).replace(tzinfo=UTC)
            found.append(Deleted(name[2], when, folder, folder_size(folder)))
    return sorted(found, key=lambda one: one.when, reverse=True)


def deleted_ids(settings: Settings) -> set[str]:
    """Of all runs that were ever deleted, those that the bin no longer holds among them."""
    return {name[2] for _, name in _names(settings)}


def _names(settings: Settings) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in (settings.checkpoints / BIN).glob("*"):
        if name := _NAME.fullmatch(path.name):
            yield path, name


def empty_bin(settings: Settings, *, runs: Sequence[str] = ()) -> int:
    """Delete what is in the bin for good, or only these runs; returns the bytes that were freed."""
    freed = 0
    for one in list_deleted(settings):
        if not runs or one.run in runs:
            remove_folder(one.folder)
            one.folder.touch()
            freed += one.size
    return freed


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _unknown(run_id: str, settings: Settings) -> SpecError:
    return SpecError(
        "unknown_run", f"There is no run '{run_id}' in {settings.checkpoints}", fix="see `vccapp runs list`"
    )
