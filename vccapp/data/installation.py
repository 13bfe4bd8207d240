"""What this installation is: its settings and where each comes from, the disk it uses, the packages it runs with.

list_settings(settings)                       # one row a setting; of secrets only whether they are set
keep_ray_address("10.0.0.1:6379", settings)   # the one that can be changed while the app runs
measure_disk(settings); list_packages()
"""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import vccapp
from vccapp.data.atomic import write_json
from vccapp.data.resources import count_processors, machine_memory
from vccapp.errors import SpecError
from vccapp.settings import (
    KEPT,
    RAY_ADDRESS,
    Kept,
    Settings,
    is_set,
    open_server_settings,
    variable_of,
)
from vccapp.wording import bytes_text

LABELS = {
    "home": "Workspace",
    "checkpoints": "Runs",
    "data_roots": "Data folders",
    "memory_gb": "Memory per job",
    "machine_gb": "Memory of all jobs",
    "max_jobs": "Jobs at once",
    "threads": "Processors per job",
    "device": "Device of networks",
    "devices": "Processes per training",
    "ray_address": "Ray address",
    "trackers": "Trackers",
    "state": "Official STATE program",
    "notify_command": "Notice: command",
    "notify_url": "Notice: address",
    "hosts": "Names of the server",
    "token": "Token",
}
"""Of every setting, in the order in which they are shown."""
SECRETS = ("notify_command", "notify_url", "token")
"""Which may hold passwords or keys: only whether they are set is told."""


@dataclass(frozen=True)
class Setting:
    """name : as in `Settings`; value : in use now, for people; source : where it comes from"""

    name: str
    label: str
    value: str
    source: Literal["environment", "workspace", "default"]
    variable: str


@dataclass(frozen=True)
class Place:
    """A folder of ours. used : bytes of the disk that its files take, None where they are not ours; free and total :
    bytes of its disk, None where there is no such folder yet"""

    label: str
    path: Path
    used: int | None
    free: int | None
    total: int | None


def describe_version() -> dict[str, str]:
    """Of the app and of what it runs on."""
    return {"vccapp": vccapp.__version__, "Python": platform.python_version(), "system": platform.platform()}


def list_settings(settings: Settings) -> list[Setting]:
    """All, of the app and of its server. Raises SpecError for a variable of the server that is wrong."""
    server = open_server_settings()
    fields: dict[str, Any] = settings.model_dump() | server.model_dump()
    said = {name: _say(name, value) for name, value in fields.items()}
    said["memory_gb"] = bytes_text(settings.memory_bytes)
    if settings.memory_note:
        said["memory_gb"] += f" ({settings.memory_gb:g} GB are set, and this is what there is)"
    said["machine_gb"] = bytes_text(settings.machine_gb * 1e9 if settings.machine_gb else machine_memory())
    said["threads"] = f"{settings.threads or count_processors()} of {count_processors()}"
    return [
        Setting(name, label, said[name], _source(name, settings), variable_of(name)) for name, label in LABELS.items()
    ]


def keep_ray_address(address: str, settings: Settings) -> None:
    """Keep the address of the Ray cluster in the workspace, for jobs that are started from now on.

    address : HOST:PORT, http://HOST:PORT or auto; empty forgets what was kept. Raises SpecError for another form, and
    where the environment sets it, which would win.
    """
    if is_set("ray_address"):
        raise SpecError(
            "set_by_environment",
            f"{variable_of('ray_address')} sets the Ray address, and it wins over the workspace",
            fix="unset it and start the app again, or change it there",
        )
    if address and not RAY_ADDRESS.fullmatch(address):
        raise SpecError(
            "bad_ray_address",
            f"'{address}' is not the address of a Ray cluster",
            fix="use HOST:PORT, as printed by `ray start`, or auto",
        )
    settings.home.mkdir(parents=True, exist_ok=True)
    write_json(settings.kept, KEPT.stamp(Kept(ray_address=address or None).model_dump()))


def measure_disk(settings: Settings) -> list[Place]:
    """The workspace, its largest parts, the runs, and the folders of data, whose files are not counted."""
    ours = {
        "Workspace": settings.home,
        "Workspace: datasets and indexes": settings.datasets,
        "Workspace: submissions": settings.submissions,
        "Workspace: jobs": settings.jobs,
        "Runs": settings.checkpoints,
    }
    places = [_measure(label, path, used=_used_bytes(path)) for label, path in ours.items()]
    return places + [_measure("Data", path, used=None) for path in settings.data_roots]


def list_packages() -> dict[str, str]:
    """Version of each package that this Python finds, by its name."""
    found: dict[str, str] = {}
    for package in distributions():  # of two of a name the first is imported
        if name := package.metadata["Name"]:
            found.setdefault(name, package.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _say(name: str, value: Any) -> str:
    if name in SECRETS:
        secret = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        return "set, not shown" if secret else "not set"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if name == "ray_address" and "@" in value:
        parts = urlsplit(value if "://" in value else f"//{value}")
        return f"{parts.hostname or '?'} (with credentials, not shown)"
    if name == "state" and not value:
        return "as installed by the app"
    return str(value) if value not in ("", None) else "none"


def _source(name: str, settings: Settings) -> Literal["environment", "workspace", "default"]:
    if is_set(name):
        return "environment"
    is_kept = name in settings.model_fields_set and name in Kept.model_fields and settings.kept.exists()
    return "workspace" if is_kept else "default"


def _measure(label: str, path: Path, *, used: int | None) -> Place:
    try:
        disk = shutil.disk_usage(path)
    except OSError:
        return Place(label, path, used, None, None)
    return Place(label, path, used, disk.free, disk.total)


def _used_bytes(folder: Path) -> int:
    """Of the files below a folder, each counted once however many names it has."""
    seen: dict[tuple[int, int], int] = {}
    for entry in _walk(folder):
        found = entry.stat(follow_symlinks=False)
        seen[found.st_dev, found.st_ino] = 512 * found.st_blocks
    return sum(seen.values())


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The files below a folder that can be looked at; links are not followed."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            entry.stat(follow_symlinks=False)
        except OSError:  # removed meanwhile
            continue
        if is_folder:
            yield from _walk(Path(entry.path))
        else:
            yield entry
